"""What a broken connection to a kernel may have cost is said in the cells; nothing waits for an answer that was lost.

What was on its way when the connection broke is gone: whatever the route, a pod's address as well as a forwarded port.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.websocket import WebSocketClosedError
from zmq.eventloop.zmqstream import ZMQStream

from remote_kernel_provider.jupyter.server.kernel_manager import Cells, RemoteServerKernelManager
from remote_kernel_provider.jupyter.server.lines import LineMonitor

MAY_LACK = (
    "The connection to the kernel was lost for a while as this cell ran. "
    "The cell runs on; what it put out meanwhile may be missing here."
)
UNANSWERED = (
    "The connection to the kernel was lost as this cell was sent or ran, and its answer with it. The cell does not run "
    "any more, and may not have run at all: look at what it was to do before you run it again."
)

WATCHED = ("shell", "iopub")
"""Channels whose messages cells wait for."""


class Line:
    """The connection of one client session to its kernel, which may break and come back; it ends with its sockets.

    Parameters
    ----------
    streams
        Its sockets by channel.
    cells
        Returns what the client has sent and the kernel has not finished, oldest first.

    Attributes
    ----------
    running
        Id of the cell that ran when it broke last, or empty.
    has_mended
        Whether it broke and is back, and nobody was told yet.
    on_mended
        Told when it is back; None = nobody listens right now.
    """

    def __init__(self, streams: Mapping[str, ZMQStream], cells: Callable[[], Cells]) -> None:
        self._cells = cells
        self.running = ""
        self.has_mended = False
        self.on_mended: Callable[[], None] | None = None
        watched = {channel: streams[channel] for channel in WATCHED}
        LineMonitor(watched, self._note_break, self._note_mended)

    def _note_break(self) -> None:
        self.running = next(iter(self._cells()), "")
        self.has_mended = False

    def _note_mended(self) -> None:
        self.has_mended = True
        if self.on_mended is not None:
            self.on_mended()


class RemoteBreakNotice(ZMQChannelsWebsocketConnection):
    """Says in a cell that its output may lack something, and ends the cells whose answers were lost."""

    _question = ""
    """Id of a request that the kernel answers after all that was sent before."""
    _doubted: tuple[str, ...] = ()
    """Cells that were sent before it."""

    def create_stream(self) -> None:
        """Create the sockets, and watch them."""
        super().create_stream()  # type: ignore[no-untyped-call]
        kernel = self.kernel_manager
        if isinstance(kernel, RemoteServerKernelManager):
            session = self.session_id
            # The sockets outlive this connection when its client goes away and comes back.
            self.channels["shell"].line = Line(self.channels, lambda: kernel.cells.get(session, {}))
            self._listen()

    def connect(self) -> Any:
        """Connect; what broke while the client was away is told when it is back."""
        connected = super().connect()
        if connected is not None:
            connected.add_done_callback(lambda _: self._listen())
        return connected

    def disconnect(self) -> None:  # type: ignore[override]
        """Disconnect."""
        line = self._line
        if line is not None:
            line.on_mended = None
        super().disconnect()  # type: ignore[no-untyped-call]

    @property
    def _line(self) -> Line | None:
        return getattr(self.channels.get("shell"), "line", None)

    def _listen(self) -> None:
        line = self._line
        if line is not None:
            line.on_mended = self._look
            if line.has_mended:
                self._look()

    def _look(self) -> None:
        """Tell the cell that ran, and ask the kernel something to know what it has not answered."""
        line, kernel = self._line, self.kernel_manager
        if line is None or not isinstance(kernel, RemoteServerKernelManager):
            return
        line.has_mended = False
        cells = kernel.cells.get(self.session_id, {})
        if kernel.restarting or not cells:
            return
        if line.running in cells:
            with suppress(WebSocketClosedError):
                self.write_stderr(MAY_LACK, cells[line.running])  # type: ignore[no-untyped-call]
        self._doubted = tuple(cells)
        question = self.session.msg("kernel_info_request")
        self._question = question["header"]["msg_id"]
        self.session.send(self.channels["shell"], question)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass the kernel's message on; the answer to our own question is for us."""
        if self._question and getattr(stream, "channel", stream) == "shell":
            _, (_, _, parent, *_) = self.session.feed_identities(outgoing_msg)
            if self.session.unpack(parent).get("msg_id") == self._question:
                self._question = ""
                self._end_unanswered()
                return
        super().handle_outgoing_message(stream, outgoing_msg)

    def _end_unanswered(self) -> None:
        cells = self.kernel_manager.cells.get(self.session_id, {})
        for cell in self._doubted:
            header = cells.pop(cell, None)
            if header is not None:
                with suppress(WebSocketClosedError):
                    self.write_stderr(UNANSWERED, header)  # type: ignore[no-untyped-call]
                    content = {"status": "error", "ename": "AnswerLost", "evalue": UNANSWERED, "traceback": []}
                    self._say("shell", "execute_reply", content, header)
                    self._say("iopub", "status", {"execution_state": "idle"}, header)

    def _say(self, channel: str, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        message = self.session.msg(kind, content, parent=parent)
        if self.subprotocol == "v1.kernel.websocket.jupyter.org":
            self.write_message(serialize_msg_to_ws_v1(message, channel, self.session.pack), binary=True)  # type: ignore[no-untyped-call]
        else:
            self.write_message(json.dumps({**message, "channel": channel}, default=str))
