"""What is on disk of a local kernel: a folder of mode 0700 with its connection file, its record and its output."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remote_kernel_provider.files import make_private_folder, parse_json, write_private
from remote_kernel_provider.resource import KernelResource
from remote_kernel_provider.status import KernelStatus, Phase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalRecord:
    """What identifies a local kernel's process.

    Parameters
    ----------
    resource
        The handle.
    pid, started
        Its process.
    machine
        Where that process is; see `process.machine`.
    """

    resource: KernelResource
    pid: int
    started: str | None
    machine: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes."""
        return {**asdict(self), "resource": self.resource.to_json()}


class KernelFolder:
    """The folder of one local kernel."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection_file = path / "connection.json"
        self.output = path / "output.log"
        self._record = path / "record.json"
        self._memory = path / "memory.json"
        self._exit = path / "exit.json"

    def make(self) -> None:
        """Make the folder."""
        make_private_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove it and all that is in it; idempotent."""
        # Its name first: another host that notes the kernel's end right now finds no folder to write into.
        leaving = self.path.with_name(f".{self.path.name}")
        with suppress(OSError):
            self.path.rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)

    def write_record(self, record: LocalRecord) -> None:
        """Write which process the kernel is."""
        write_private(self._record, json.dumps(record.to_json()).encode())

    def record(self) -> LocalRecord | None:
        """Read it, or return None when the folder holds none that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = parse_json(self._record.read_bytes())
            return LocalRecord(**{**document, "resource": KernelResource.from_json(document["resource"])})
        return None

    def write_memory(self, content: bytes) -> None:
        """Write what must survive the host."""
        write_private(self._memory, content)

    def memory(self) -> bytes | None:
        """Read it, or return None."""
        with suppress(OSError):
            return self._memory.read_bytes()
        return None

    def write_exit(self, status: KernelStatus) -> None:
        """Write how the process ended, for whoever asks from another process."""
        with suppress(OSError):  # the folder may be gone: then nobody will ask
            write_private(self._exit, json.dumps(asdict(status)).encode())

    def exit(self) -> KernelStatus | None:
        """Read it, or return None."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            document = json.loads(self._exit.read_bytes())
            return KernelStatus(**{**document, "phase": Phase(document["phase"])})
        return None

    def tail(self, lines: int, limit: int = 256 * 1024) -> str:
        """Return the last lines of the output, at most `limit` bytes."""
        try:
            with self.output.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - limit))
                text = stream.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""


def folders(root: Path) -> Iterator[KernelFolder]:
    """List the folders of all local kernels of this user."""
    with suppress(OSError):
        for path in sorted(root.iterdir()):
            if path.is_dir():
                yield KernelFolder(path)
