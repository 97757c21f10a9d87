"""Connections to kernels that break and come back: ZMQ connects again by itself, and only its monitors tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import zmq
from zmq.eventloop.zmqstream import ZMQStream
from zmq.utils.monitor import parse_monitor_message


class LineMonitor:
    """Tells when a connection of several sockets breaks and when it is back; ends with the sockets.

    Parameters
    ----------
    streams
        The sockets by channel.
    on_broken
        Called when the first of them has lost its peer.
    on_mended
        Called when all of them are connected again.
    """

    def __init__(
        self, streams: Mapping[str, ZMQStream], on_broken: Callable[[], None], on_mended: Callable[[], None]
    ) -> None:
        self._on_broken = on_broken
        self._on_mended = on_mended
        self._lost: set[str] = set()
        for channel, stream in streams.items():
            self._monitor(channel, stream.socket)

    def _monitor(self, channel: str, socket: zmq.Socket[bytes]) -> None:
        address = f"inproc://remote-kernel-line-{id(self)}-{channel}"
        socket.monitor(address, zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_MONITOR_STOPPED)
        # Of the server's own context, which closes its sockets at its end, and waits for any other for ever.
        listening = socket.context.socket(zmq.PAIR, socket_class=zmq.Socket)
        listening.linger = 0
        listening.connect(address)
        events = ZMQStream(listening)

        def take(message: list[bytes]) -> None:
            event = parse_monitor_message(message)["event"]
            if event == zmq.EVENT_MONITOR_STOPPED:  # the socket was closed
                events.close()
            else:
                self._note(channel, connected=event == zmq.EVENT_HANDSHAKE_SUCCEEDED)

        events.on_recv(take)

    def _note(self, channel: str, *, connected: bool) -> None:
        if not connected:
            if not self._lost:
                self._on_broken()
            self._lost.add(channel)
        elif channel in self._lost:
            self._lost.discard(channel)
            if not self._lost:
                self._on_mended()
