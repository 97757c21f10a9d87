"""Who was connected last to each kernel: a server that adopts it listens in that client's name until it is back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from remote_kernel_provider.files import make_private_folder, write_private

LONGEST = 255
"""Bytes that ZMQ has for an identity, which is what a session id becomes."""


class LastClients:
    """The session ids of the last clients, a private file for each kernel of one server.

    Parameters
    ----------
    folder
        Of this server alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_private_folder(folder.parent)
        make_private_folder(folder)

    def note(self, kernel_id: str, session_id: str) -> None:
        """Write down who connected to a kernel; what cannot be written is forgotten."""
        if not session_id.isascii() or len(session_id) > LONGEST:
            return
        with suppress(OSError):
            write_private(self._file(kernel_id), session_id.encode())

    def last(self, kernel_id: str) -> bytes:
        """Return who was connected last, or nothing."""
        with suppress(OSError):
            return self._file(kernel_id).read_bytes()
        return b""

    def forget_all_but(self, kernel_ids: Iterable[str]) -> None:
        """Forget the clients of kernels that are not there any more."""
        kept = {self._file(kernel_id) for kernel_id in kernel_ids}
        for file in self._folder.iterdir():
            if file not in kept:
                file.unlink(missing_ok=True)

    def _file(self, kernel_id: str) -> Path:
        # A hash, as clients may choose the ids of kernels.
        return self._folder / hashlib.sha256(kernel_id.encode()).hexdigest()[:32]
