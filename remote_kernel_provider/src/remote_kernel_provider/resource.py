"""What is known of a kernel outside the process that launched it: its handle, and what its backend keeps of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.owner import Owner

_LATEST = 2.0**37
"""Unix time that no calendar of Python's is sure to have; it is far."""


@dataclass(frozen=True)
class KernelResource:
    """A serializable handle of one kernel of one backend.

    Parameters
    ----------
    lifecycle
        Name of the lifecycle manager (its entry point).
    id
        The backend's own, unique id: of a container, a pod, a process record.
    kernel_id
        Jupyter's id, which survives a restart.
    kernel_name
        `provider/spec`.
    generation
        Random, new at every launch; tells a restarted kernel from its predecessor.
    owner
        Whose it is.
    created
        Unix time in seconds.
    data
        Whatever else the backend needs to find it again; JSON, no secrets.
    """

    lifecycle: str
    id: str
    kernel_id: str
    kernel_name: str
    generation: str
    owner: Owner
    created: float
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> KernelResource:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            When the document is not one.
        """
        try:
            resource = cls(**{**document, "owner": Owner(**document["owner"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a kernel resource: {error}") from None
        # Backends keep it where others may write, too: one that is malformed must not spoil the list of all.
        parts = {**vars(resource), **vars(resource.owner)}
        texts = [part for name, part in parts.items() if name not in ("owner", "created", "data")]
        if not all(isinstance(text, str) for text in texts) or not isinstance(resource.data, Mapping):
            raise ValueError("not a kernel resource: a part of it has another type")
        if not isinstance(resource.created, (int, float)) or not 0 <= resource.created < _LATEST:
            raise ValueError("not a kernel resource: it was created at no time")
        return resource


@dataclass(frozen=True)
class KernelMemory:
    """What must survive the host that launched a kernel, so that another can adopt it.

    It holds the kernel's key: backends keep it in a Secret or a file of mode 0600, never in labels.

    Parameters
    ----------
    connection
        As the kernel sees it: its own ports and key.
    arguments
        The launch arguments, to launch it again: JSON.
    comm_port
        Port at which the launcher inside takes signals for it; 0 where none does.
    """

    connection: ConnectionInfo
    arguments: Mapping[str, Any] = field(repr=False)
    comm_port: int = 0

    def to_bytes(self) -> bytes:
        """Serialize as JSON."""
        document = {"connection": self.connection.to_json(), "arguments": dict(self.arguments)}
        return json.dumps({**document, "comm_port": self.comm_port}).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> KernelMemory:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            When the text is not one.
        """
        try:
            document = json.loads(text)
            connection = ConnectionInfo.from_json(document["connection"])
            return cls(connection, document["arguments"], int(document.get("comm_port", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a kernel's memory: {error}") from None
