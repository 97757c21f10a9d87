"""The files that travel into a container and out of it, as the archives that the engine's API takes and gives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import APIClient

FOLDER = "/run/remote-kernel"
"""Holds our files in a container; root's."""
PRIVATE_FOLDER = f"{FOLDER}/private"
"""The kernel user's own."""
CONNECTION_FILE = f"{PRIVATE_FOLDER}/connection.json"
MEMORY_FILE = f"{FOLDER}/memory"
"""Root's: the kernel's user cannot read it."""


@dataclass(frozen=True)
class Entry:
    """A file or, without content, a folder.

    Parameters
    ----------
    path
        In the container.
    mode, uid, gid
        Of it.
    content
        None for a folder.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    content: bytes | None = None


def memory_entries(sealed: bytes) -> list[Entry]:
    """Return the file of a kernel's memory, where the kernel's user cannot read it."""
    return [Entry(FOLDER, 0o755), Entry(MEMORY_FILE, 0o600, content=sealed)]


def pack(entries: Iterable[Entry]) -> bytes:
    """Return an archive to be unpacked at the root of a container."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            info.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
            info.size = len(entry.content or b"")
            tar.addfile(info, io.BytesIO(entry.content or b""))
    return output.getvalue()


def read_file(client: APIClient, container: str, path: str) -> bytes | None:
    """Read a file of a container, running or not; None when there is none."""
    from docker.errors import NotFound

    try:
        pieces, _ = client.get_archive(container, path)
    except NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                return file.read()
    return None


def read_header(client: APIClient, container: str, path: str) -> tarfile.TarInfo | None:
    """Return whose a folder of a container is; None when there is none. Its content is not read."""
    from docker.errors import NotFound

    try:
        pieces, _ = client.get_archive(container, path)
    except NotFound:
        return None
    head = b""
    with closing(pieces):
        for piece in pieces:
            head += piece
            if len(head) >= tarfile.BLOCKSIZE:
                return tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "replace")
    return None
