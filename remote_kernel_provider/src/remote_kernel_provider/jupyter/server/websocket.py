"""A client's connection to a kernel of ours: it is told the kernel's state, and the cell that runs why it died."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

from remote_kernel_provider.jupyter.server.kernel_manager import Cells, RemoteServerKernelManager

DEAD = 4000
"""Close code after which clients ask for the kernel's model, and find the reason there."""

_LONGEST_REASON = 123
"""Bytes that fit into a close frame beside the code."""


class RemoteWebsocketConnection(ZMQChannelsWebsocketConnection):
    """Remembers which cells a client has sent, and writes a death's reason into the one that was running."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._held: list[Any] = []
        self._nudging: asyncio.Future[None]
        self._following: asyncio.Future[None] | None = None

    @property
    def _remote(self) -> RemoteServerKernelManager | None:
        kernel = self.kernel_manager
        return kernel if isinstance(kernel, RemoteServerKernelManager) else None

    async def prepare(self) -> None:
        """Wait for a launch under way, however long; refuse a connection to a dead kernel with its reason."""
        kernel = self._remote
        if kernel is not None:
            await kernel.settle()
            if kernel.failed:
                raise HTTPError(500, str(kernel.ready.exception()))
        await super().prepare()  # type: ignore[no-untyped-call]

    def connect(self) -> Any:
        """Connect, and tell the client whether the kernel is busy.

        After a lost connection JupyterLab asks the kernel something, and does not take its state from the answer.
        """
        connected = super().connect()
        if connected is not None and self._remote is not None:
            connected.add_done_callback(lambda _: self._tell_state())
            self._remote.on_end.add(self._let_go)
            self._remote.on_return.add(self._follow)
        return connected

    def disconnect(self) -> None:  # type: ignore[override]
        """Disconnect."""
        if self._remote is not None:
            self._remote.on_end.discard(self._let_go)
            self._remote.on_return.discard(self._follow)
        if self._following is not None:
            self._following.cancel()
        super().disconnect()  # type: ignore[no-untyped-call]

    def nudge(self) -> asyncio.Future[None]:
        """Ask the kernel until what it publishes arrives, or until a restart."""
        self._nudging = super().nudge()
        return self._nudging

    def _let_go(self) -> None:
        """Close the sockets to a kernel that has ended; the next one's would be of the same name at the same time."""
        for stream in self.channels.values():
            stream.close()
        self.channels = {}
        if self._following is not None:
            self._following.cancel()

    def _follow(self) -> None:
        """Talk to the kernel that a restart has brought back; the client notices nothing."""
        self.create_stream()  # type: ignore[no-untyped-call]
        self._following = asyncio.ensure_future(self._talk_again())

    async def _talk_again(self) -> None:
        self._nudging.cancel()  # it may still wait for the kernel before, and the client's opening for it
        await asyncio.wait([self._nudging])
        # What a cell publishes before the new subscription holds would be lost. A silent kernel is listened to, too.
        await asyncio.gather(self.nudge(), return_exceptions=True)
        for stream in self.channels.values():
            if not stream.closed():
                stream.on_recv_stream(self.handle_outgoing_message)
        self._following = None
        self._pass_held_on()

    def _pass_held_on(self) -> None:
        held, self._held = self._held, []
        for message in held:
            self.handle_incoming_message(message)

    def _tell_state(self) -> None:
        kernel = self._remote
        if kernel is not None and kernel.execution_state in ("idle", "busy"):
            with suppress(WebSocketClosedError):
                self._send_status_message(kernel.execution_state)  # type: ignore[no-untyped-call]

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass a client's message on, and remember an execute request; under a restart, once the kernel is heard."""
        kernel = self._remote
        if kernel is not None and (kernel.restarting or self._following is not None):
            self._held.append(incoming_msg)
            return
        if kernel is not None:
            header = self._execute_request(incoming_msg)
            if header is not None:
                kernel.cells.setdefault(self.session_id, {})[header["msg_id"]] = header
        super().handle_incoming_message(incoming_msg)

    def _execute_request(self, message: Any) -> dict[str, Any] | None:
        if self.subprotocol == "v1.kernel.websocket.jupyter.org":
            channel, parts = deserialize_msg_from_ws_v1(message)  # type: ignore[no-untyped-call]
            header = self.session.unpack(parts[0]) if channel == "shell" else {}
        elif isinstance(message, str):
            header = json.loads(message).get("header") or {}
        else:
            return None  # the older protocol's messages with buffers: widgets', never a cell's
        return header if header.get("msg_type") == "execute_request" else None

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass the kernel's message on, and forget a cell that has ended."""
        super().handle_outgoing_message(stream, outgoing_msg)
        kernel = self._remote
        if kernel is not None and (cells := kernel.cells.get(self.session_id)):
            self._note(cells, outgoing_msg)

    def _note(self, cells: Cells, message: list[Any]) -> None:
        _, (_, header, parent, _, content, *_) = self.session.feed_identities(message)
        kind = self.session.unpack(header)["msg_type"]
        # Either may be missing: what is published while the sockets look for a restarted kernel is lost.
        is_over = kind == "status" and self.session.unpack(content)["execution_state"] == "idle"
        if is_over or kind == "execute_reply":
            cells.pop(self.session.unpack(parent).get("msg_id", ""), None)
        if not cells and self._remote is not None:
            self._remote.cells.pop(self.session_id, None)

    def on_kernel_restarted(self) -> None:
        """Write the reason into the cell that ran, before the client is told of the restart."""
        kernel = self._remote
        if kernel is not None:
            self._explain(kernel)
        super().on_kernel_restarted()  # type: ignore[no-untyped-call]

    def on_restart_failed(self) -> None:
        """Write the reason into the cell that ran, and close; the client reads it from the kernel's model.

        Stock Jupyter's message that the kernel is dead would make JupyterLab forget the kernel without looking.
        """
        kernel = self._remote
        if kernel is None:
            super().on_restart_failed()  # type: ignore[no-untyped-call]
            return
        self._explain(kernel)
        reason = kernel.last_words().encode()[:_LONGEST_REASON].decode(errors="ignore")
        self.websocket_handler.close(DEAD, reason)

    def _explain(self, kernel: RemoteServerKernelManager) -> None:
        iopub = self.channels.get("iopub")
        if iopub is not None and not iopub.closed():
            iopub.flush()  # what the kernel had still written comes first, and may be the end of the cell
        running = next(iter(kernel.cells.pop(self.session_id, {}).values()), None)
        if running is not None:
            with suppress(WebSocketClosedError):
                self.write_stderr(kernel.last_words(), running)  # type: ignore[no-untyped-call]
