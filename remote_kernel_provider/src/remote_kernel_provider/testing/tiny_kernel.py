"""A small, real Jupyter kernel, for tests that start hundreds of them.

Run as ``python -m remote_kernel_provider.testing.tiny_kernel -f {connection_file}``. It runs Python cells with `exec`,
prints what they print, is interrupted by signal and by message, and takes CURVE keys from its connection file. It
imports nothing but pyzmq and the standard library, and so starts in about a tenth of a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import os
import platform
import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import zmq

DELIMITER = b"<IDS|MSG>"
KERNEL_INFO = {
    "status": "ok",
    "protocol_version": "5.4",
    "implementation": "tiny",
    "implementation_version": "1",
    "language_info": {
        "name": "python",
        "version": platform.python_version(),
        "mimetype": "text/x-python",
        "file_extension": ".py",
    },
    "banner": "A tiny kernel",
    "help_links": [],
}

Message = tuple[list[bytes], dict[str, Any], dict[str, Any]]


class Wire:
    """Signs, checks, packs and unpacks the messages of one connection."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._session = uuid.uuid4().hex

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        return hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()

    def unpack(self, frames: Sequence[bytes]) -> Message | None:
        """Return identities, header and content, or None for what was not signed by our key."""
        if DELIMITER not in frames:
            return None
        split = list(frames).index(DELIMITER)
        signature, *parts = frames[split + 1 :]
        if len(parts) < 4 or not hmac.compare_digest(signature, self._signature(parts[:4])):
            return None
        return list(frames[:split]), json.loads(parts[0]), json.loads(parts[3])

    def pack(self, kind: str, parent: Mapping[str, Any], content: Mapping[str, Any]) -> list[bytes]:
        """Return the frames of a message."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "session": self._session,
            "username": "kernel",
            "date": datetime.now(timezone.utc).isoformat(),
            "version": "5.4",
        }
        parts = [json.dumps(part).encode() for part in (header, parent, {}, content)]
        return [DELIMITER, self._signature(parts), *parts]


class _EndError(BaseException):
    """The kernel was asked to end; no cell can catch it by accident."""


class _Stream(io.TextIOBase):
    """Standard output of a cell."""

    def __init__(self, kernel: TinyKernel) -> None:
        self._kernel = kernel

    def write(self, text: str) -> int:
        self._kernel.publish("stream", {"name": "stdout", "text": text})
        return len(text)


class TinyKernel:
    """The kernel: cells run on the main thread, the control channel and the heartbeat on another.

    Parameters
    ----------
    connection
        The document in its connection file.
    """

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._connection = connection
        self._wire = Wire(connection["key"])
        self._context = zmq.Context()
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._count = 0
        self._parent: Mapping[str, Any] = {}
        self._running = False
        self._asked = False
        self._iopub = self._bound(zmq.PUB, "iopub")
        self._stdin = self._bound(zmq.ROUTER, "stdin")
        self._control = self._bound(zmq.ROUTER, "control")
        self._heartbeat = self._bound(zmq.ROUTER, "hb")
        # Last, as clients take an open shell port for a kernel that is there.
        self._shell = self._bound(zmq.ROUTER, "shell")

    def _bound(self, kind: int, channel: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 1000
        if kind == zmq.ROUTER:
            # As ipykernel does: a server that was restarted has the identities of its predecessor.
            socket.router_handover = True
        if self._connection.get("curve_secretkey"):
            socket.curve_server = True
            socket.curve_publickey = self._connection["curve_publickey"].encode()
            socket.curve_secretkey = self._connection["curve_secretkey"].encode()
        socket.bind(f"tcp://{self._connection['ip']}:{self._connection[f'{channel}_port']}")
        return socket

    def run(self) -> None:
        """Serve until a shutdown request or SIGTERM comes."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_end)
        # A signal that comes just before the wait begins, and so does not interrupt it, wakes it all the same.
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        poller = zmq.Poller()
        poller.register(self._shell, zmq.POLLIN)
        poller.register(woken, zmq.POLLIN)
        control = threading.Thread(target=self._serve_control, daemon=True)
        control.start()
        try:
            while True:
                for source, _ in poller.poll():
                    if source is not self._shell:
                        os.read(woken, 64)
                    elif (message := self._wire.unpack(self._shell.recv_multipart())) is not None:
                        self._answer(*message)
        except _EndError:
            for socket in (self._shell, self._iopub, self._stdin):
                socket.close()
        if self._asked:
            control.join()
            self._context.term()  # after the last replies have left

    def publish(self, kind: str, content: Mapping[str, Any]) -> None:
        """Send a message to all clients, as a child of the request that is being answered."""
        self._iopub.send_multipart([kind.encode(), *self._wire.pack(kind, self._parent, content)])

    def _on_interrupt(self, *_: object) -> None:
        if self._running:
            raise KeyboardInterrupt

    def _on_end(self, *_: object) -> None:
        raise _EndError

    def _answer(self, identities: list[bytes], header: dict[str, Any], content: dict[str, Any]) -> None:
        self._parent = header
        kind = header["msg_type"]
        self.publish("status", {"execution_state": "busy"})
        reply: Mapping[str, Any]
        if kind == "kernel_info_request":
            reply = KERNEL_INFO
        elif kind == "execute_request":
            reply = self._execute(content)
        else:
            reply = {
                "status": "ok",
                "comms": {},
                "history": [],
                "matches": [],
                "found": False,
                "data": {},
                "metadata": {},
            }
        answer = self._wire.pack(kind.replace("_request", "_reply"), header, reply)
        self._shell.send_multipart([*identities, *answer])
        self.publish("status", {"execution_state": "idle"})

    def _execute(self, content: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        try:
            with contextlib.redirect_stdout(_Stream(self)):
                try:
                    self._running = True
                    exec(compile(content["code"], "<cell>", "exec"), self._namespace)
                finally:
                    self._running = False
        except _EndError:
            raise
        except BaseException as error:  # noqa: BLE001  # a cell may raise anything, SystemExit included, and the kernel goes on
            text = traceback.format_exception(type(error), error, error.__traceback__)
            failure = {"ename": type(error).__name__, "evalue": str(error), "traceback": text}
            self.publish("error", failure)
            return {"status": "error", "execution_count": self._count, **failure}
        return {"status": "ok", "execution_count": self._count, "user_expressions": {}, "payload": []}

    def _serve_control(self) -> None:
        poller = zmq.Poller()
        poller.register(self._control, zmq.POLLIN)
        poller.register(self._heartbeat, zmq.POLLIN)
        while not self._asked:
            for socket, _ in poller.poll():
                frames = socket.recv_multipart()
                if socket is self._heartbeat:
                    socket.send_multipart(frames)
                elif (message := self._wire.unpack(frames)) is not None:
                    self._answer_control(*message)
        self._control.close()
        self._heartbeat.close()
        os.kill(os.getpid(), signal.SIGTERM)

    def _answer_control(self, identities: list[bytes], header: dict[str, Any], content: dict[str, Any]) -> None:
        kind = header["msg_type"]
        reply: Mapping[str, Any] = KERNEL_INFO if kind == "kernel_info_request" else {"status": "ok", **content}
        if kind == "interrupt_request":
            os.kill(os.getpid(), signal.SIGINT)
        self._control.send_multipart([*identities, *self._wire.pack(kind.replace("_request", "_reply"), header, reply)])
        self._asked = kind == "shutdown_request"


def main(arguments: Sequence[str]) -> None:
    """Run a kernel; the last argument is its connection file."""
    TinyKernel(json.loads(Path(arguments[-1]).read_text())).run()


if __name__ == "__main__":
    main(sys.argv[1:])
