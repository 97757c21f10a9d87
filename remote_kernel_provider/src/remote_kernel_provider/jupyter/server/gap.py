"""What may be missing after a restart of the server is said in the cell that ran on without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from remote_kernel_provider.jupyter.server.clients import LastClients
from remote_kernel_provider.jupyter.server.kernel_manager import RemoteServerKernelManager

SENTENCE = (
    "The Jupyter server was restarted while this cell ran. "
    "The cell runs on; what it put out while no server was there may be missing here."
)


@dataclass
class Gap:
    """The cell that ran while no server was there.

    Parameters
    ----------
    cell
        Id of its request; empty until the kernel says something about it.
    is_over
        Whether the kernel went on to another cell.
    """

    cell: str = ""
    is_over: bool = False


class RemoteGapNotice(ZMQChannelsWebsocketConnection):
    """Says, once per client and before the cell's next output, that output may be missing."""

    _told_of_gap = False

    def connect(self) -> Any:
        """Note who is connected, for the server's next run."""
        clients: LastClients | None = getattr(self.multi_kernel_manager, "clients", None)
        if clients is not None and isinstance(self.kernel_manager, RemoteServerKernelManager):
            clients.note(self.kernel_id, self.session_id)
        return super().connect()

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Put the notice before the first message of the cell that ran on."""
        gap: Gap | None = getattr(self.kernel_manager, "gap", None)
        if gap is not None and not gap.is_over and not self._told_of_gap:
            self._tell(gap, outgoing_msg)
        super().handle_outgoing_message(stream, outgoing_msg)

    def _tell(self, gap: Gap, message: list[Any]) -> None:
        _, parts = self.session.feed_identities(message)
        header, parent = self.session.unpack(parts[1]), self.session.unpack(parts[2])
        if parent.get("msg_type") != "execute_request":
            return
        if gap.cell not in ("", parent["msg_id"]) or _begins(header, self.session.unpack(parts[4])):
            gap.is_over = True  # a later cell: the one that ran on has ended
            return
        gap.cell = parent["msg_id"]
        self._told_of_gap = True
        if isinstance(self.kernel_manager, RemoteServerKernelManager) and parent.get("session") == self.session_id:
            # Sent through the last server: should the kernel die, this cell is told, too.
            self.kernel_manager.cells.setdefault(self.session_id, {})[gap.cell] = parent
        self.write_stderr(SENTENCE, parent)  # type: ignore[no-untyped-call]


def _begins(header: dict[str, Any], content: dict[str, Any]) -> bool:
    """Whether a message is the first one of a cell."""
    kind = header["msg_type"]
    return bool(kind == "execute_input" or (kind == "status" and content["execution_state"] == "busy"))
