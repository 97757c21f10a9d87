"""`KernelSocket`: what a page has of a kernel, a websocket of the server."""

import json
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_servers import LabServer


class KernelSocket:
    """A client of one kernel over the server's websocket, as a browser is; a context manager."""

    protocol = "v1.kernel.websocket.jupyter.org"

    def __init__(self, server: "LabServer", kernel_id: str, *, legacy: bool = False) -> None:
        import websocket

        self._legacy = legacy
        self._session = uuid.uuid4().hex
        self._socket = websocket.create_connection(
            f"{server.url.replace('http', 'ws')}/api/kernels/{kernel_id}/channels?session_id={self._session}",
            header=[f"Authorization: token {server.token}"],
            subprotocols=[] if legacy else [self.protocol],
            timeout=30,
        )

    def __enter__(self) -> "KernelSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def execute(self, code: str) -> str:
        """Send a cell; return its id."""
        from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1

        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "test",
            "date": "2026-01-01T00:00:00Z",
            "version": "5.4",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": code, "silent": False}}
        if self._legacy:
            self._socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        else:
            self._socket.send_binary(serialize_msg_to_ws_v1(message, "shell", lambda part: json.dumps(part).encode()))
        return msg_id

    def receive(self, seconds: float = 30) -> tuple[str, str, dict]:
        """Return the next message: its type, its parent's id, its content; the type "close" has code and reason."""
        from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1

        self._socket.settimeout(seconds)
        opcode, data = self._socket.recv_data()
        if opcode == 8:
            return "close", "", {"code": int.from_bytes(data[:2], "big"), "reason": data[2:].decode()}
        if self._legacy:
            message = json.loads(data)
            return message["msg_type"], message["parent_header"].get("msg_id", ""), message["content"]
        header, parent, _, content = (json.loads(part) for part in deserialize_msg_from_ws_v1(data)[1][:4])
        return header["msg_type"], parent.get("msg_id", ""), content

    def until(self, kind: str, seconds: float = 30, **content: object) -> tuple[str, dict]:
        """Return the parent's id and the content of the next message of a type that has these things in its content."""
        deadline = time.monotonic() + seconds
        while True:
            received, parent, found = self.receive(max(0.01, deadline - time.monotonic()))
            if received == kind and content.items() <= found.items():
                return parent, found
            assert received != "close", f"closed while waiting for {kind}: {found}"

    def run(self, code: str, seconds: float = 60) -> str:
        """Run a cell to its end; return what it printed first."""
        cell = self.execute(code)
        text = ""
        deadline = time.monotonic() + seconds  # of a single wait the server's pings are the end, again and again
        while True:
            kind, parent, content = self.receive(max(0.01, deadline - time.monotonic()))
            assert kind != "close", content
            if parent == cell and kind == "stream":
                text += content["text"]
            if parent == cell and kind == "status" and content["execution_state"] == "idle":
                return text.strip()

    def until_answered(self, seconds: float = 20) -> None:
        """Wait until cells run again, over this connection, after a restart.

        The server's sockets find the new kernel by themselves, and what it publishes before is lost.
        """
        import websocket

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            cell = self.execute("pass")
            with suppress(websocket.WebSocketTimeoutException):
                while self.receive(0.5)[:2] != ("status", cell):
                    pass
                return
        raise AssertionError(f"no cell ran within {seconds:g} s")
