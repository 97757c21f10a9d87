"""The launcher's ear: takes the host's requests for signals while the kernel is busy.

One JSON object per connection, closed by the host, never answered: ``{"signum": n}`` sends a signal (0 asks only
whether anyone is there), ``{"shutdown": 1}`` ends the listener and leaves the kernel alone. A refused connection
means that the kernel is gone.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

# By name, because user code in the same process may replace attributes of the module (gevent does).
from time import monotonic, sleep

from .report import Host

log = logging.getLogger(__name__)

DEADLINE = 5.0
"""Seconds from the start of a connection to its end."""

MAX_REQUEST = 4096
"""Bytes of one request."""

MAX_CONNECTIONS = 32
"""Open connections at a time; one more drops the oldest."""

_MAX_STRANGERS_LOGGED = 16


@dataclass(frozen=True)
class Request:
    """What the host asks for.

    Parameters
    ----------
    signum : int
        Signal to send; 0 for none.
    shutdown : bool
        Whether the listener is to end.
    """

    signum: int = 0
    shutdown: bool = False

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Read one request.

        Raises
        ------
        ValueError
            If it is not a JSON object, or its signal is no signal number.
        """
        try:
            content = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        signum = content.get("signum", 0)
        if type(signum) is not int or not 0 <= signum < signal.NSIG:
            raise ValueError("signum is not a signal number")
        return cls(signum=signum, shutdown=bool(content.get("shutdown", False)))


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    deadline: float
    data: bytearray = field(default_factory=bytearray)


class Listener:
    """Serves requests of the host, and of nobody else, on a daemon thread of the kernel's own process.

    Nothing that a peer sends, or fails to send, ends it or keeps others waiting.

    Parameters
    ----------
    server : socket.socket
        A listening TCP socket; the listener closes it.
    host : Host
        The only peer that is heard.
    send_signal : callable
        Sends the signal with this number to the kernel; called on the listener's thread.
    deadline : float
        Seconds that a connection may last.
    """

    def __init__(
        self,
        server: socket.socket,
        host: Host,
        send_signal: Callable[[int], None],
        deadline: float = DEADLINE,
    ) -> None:
        self._server = server
        self._host = host
        self._send_signal = send_signal
        self._deadline = deadline
        self._connections: list[_Connection] = []
        self._strangers: set[str] = set()
        self._is_serving = True
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="kernel-launcher-listener", daemon=True)

    def start(self) -> None:
        """Begin to serve; what connected since the server socket listens is served first."""
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        # A process that user code forks must not keep the port open when the kernel is gone.
        os.register_at_fork(after_in_child=self._server.close)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and wait for the thread to end; does nothing when it has ended."""
        with suppress(OSError):
            self._wake_writer.send(b"\0")
        self.join()

    def join(self, timeout: float | None = 2.0) -> None:
        """Wait until the listener has ended, or for so many seconds."""
        self._thread.join(timeout)

    def _run(self) -> None:
        # A signal that this thread took would not wake a system call that the kernel's main thread waits in.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._is_serving:
                self._turn()
        finally:
            for connection in list(self._connections):
                self._close(connection)
            self._selector.close()
            for end in (self._server, self._wake_reader, self._wake_writer):
                end.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._seconds_to_next_deadline()):
            if key.fileobj is self._wake_reader:
                self._is_serving = False
            elif key.fileobj is self._server:
                self._accept()
            # A turn that drops the oldest connection may hold an event of it.
            elif key.data in self._connections:
                self._read(key.data)
        now = monotonic()
        for connection in [each for each in self._connections if each.deadline <= now]:
            self._close(connection)

    def _seconds_to_next_deadline(self) -> float | None:
        if not self._connections:
            return None
        return max(0.0, min(each.deadline for each in self._connections) - monotonic())

    def _accept(self) -> None:
        try:
            accepted, (remote, _) = self._server.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            # User code may have used up the process's file descriptors. The peer stays in the queue.
            log.warning("cannot take a connection: %s", error)
            sleep(0.2)
            return
        accepted.setblocking(False)
        local = accepted.getsockname()[0]
        if not self._host.is_peer(remote, local):
            accepted.close()
            self._log_stranger(remote)
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            self._close(self._connections[0])
        connection = _Connection(accepted, monotonic() + self._deadline)
        self._connections.append(connection)
        self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _read(self, connection: _Connection) -> None:
        try:
            received = connection.socket.recv(MAX_REQUEST + 1)
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        connection.data += received
        if len(connection.data) > MAX_REQUEST:
            log.warning("dropped a request of more than %d bytes", MAX_REQUEST)
            self._close(connection)
        elif not received:
            self._close(connection)
            self._serve(bytes(connection.data))

    def _serve(self, data: bytes) -> None:
        if not data:  # a probe of the port
            return
        try:
            request = Request.parse(data)
            if request.signum:
                self._send_signal(request.signum)
        except ValueError as error:
            log.warning("dropped a request: %s", error)
            return
        except Exception:  # no request may end the listener, whatever it brings about
            log.exception("a request of the host failed")
            return
        if request.shutdown:
            self._is_serving = False

    def _close(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _log_stranger(self, remote: str) -> None:
        if remote in self._strangers or len(self._strangers) >= _MAX_STRANGERS_LOGGED:
            return
        self._strangers.add(remote)
        log.warning(
            "refused a connection from %s: only the host that the kernel was reported to, %s, may command it",
            remote,
            self._host.address,
        )
