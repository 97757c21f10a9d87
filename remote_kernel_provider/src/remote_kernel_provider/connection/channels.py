"""Talking to a kernel on sockets of our own: is it ready, interrupt it, ask it to end.

`jupyter_client`'s `wait_for_ready` is not used: it calls a kernel dead that is silent for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.private_loop import within

PROBE_INTERVAL = 0.01
"""Seconds between two attempts to reach a port that is not open yet."""

ATTEMPT = 2.0
"""Seconds of one attempt. Where a network drops packets for a pod that it does not know yet, TCP itself would try ever
later: after 1, 3, 7 and 15 seconds with Linux before 6.5."""


class KernelChannels:
    """Requests to one kernel, each on a socket that lives as long as the request.

    Parameters
    ----------
    info
        As this host reaches the kernel.
    """

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._session = Session(key=info.key.encode(), signature_scheme=info.signature_scheme, check_pid=False)

    async def until_open(self) -> None:
        """Return as soon as something listens on the shell port."""
        while not await self._is_open():  # noqa: ASYNC110  # no event tells that a port of another machine opens
            await asyncio.sleep(PROBE_INTERVAL)

    async def _is_open(self) -> bool:
        # A plain connect before ZMQ's: a refused ZMQ connection is tried again only after 0.1 s.
        try:
            if self._info.transport == "ipc":
                opening = asyncio.open_unix_connection(f"{self._info.ip}-{self._info.shell_port}")
            else:
                opening = asyncio.open_connection(self._info.ip, self._info.shell_port)
            _, writer = await within(ATTEMPT, opening)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def kernel_info(self) -> Mapping[str, Any]:
        """Return the content of the kernel's kernel_info_reply, whenever it comes."""
        return await self._request("shell", ("kernel_info_request", {}))

    async def say_state(self) -> None:
        """Have the kernel publish its state once it has done all that it was sent before; returns when it has answered.

        What kernels publish on a kernel_info request is no state to Jupyter Server (`untracked_message_types`), so an
        is_complete request goes first, which changes nothing. Kernels need not answer that one.
        """
        await self._request("shell", ("is_complete_request", {"code": ""}), ("kernel_info_request", {}))

    async def interrupt(self) -> None:
        """Interrupt by message; returns when the kernel has answered.

        A reply of `error` is no failure by itself: kernels answer so when a child refused the signal.
        """
        await self._request("control", ("interrupt_request", {}))

    async def shutdown(self) -> None:
        """Ask the kernel to end; returns when it has answered."""
        await self._request("control", ("shutdown_request", {"restart": False}))

    async def _request(self, channel: str, *requests: tuple[str, dict[str, Any]]) -> Mapping[str, Any]:
        """Send requests, and return the content of the reply to the last one."""
        socket = self._connect(channel)
        try:
            for kind, content in requests:
                request = self._session.msg(kind, content=content)
                await socket.send_multipart(self._session.serialize(request))
            while True:
                frames = await socket.recv_multipart()
                _, parts = self._session.feed_identities(frames)
                with suppress(ValueError):  # a frame that is not signed by our key is not the answer
                    reply = self._session.deserialize(parts)
                    if reply["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                        return cast(Mapping[str, Any], reply["content"])
        finally:
            socket.close(linger=0)

    def _connect(self, channel: str) -> zmq.asyncio.Socket:
        socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        info = self._info
        port = info.shell_port if channel == "shell" else info.ports[3]
        try:
            if info.curve_publickey is not None:
                public, secret = zmq.curve_keypair()
                socket.curve_publickey, socket.curve_secretkey = public, secret
                socket.curve_serverkey = info.curve_publickey.encode()
            separator = "-" if info.transport == "ipc" else ":"
            socket.connect(f"{info.transport}://{info.ip}{separator}{port}")
        except BaseException:  # a cancellation included: a socket is not left open
            socket.close(linger=0)
            raise
        return socket
