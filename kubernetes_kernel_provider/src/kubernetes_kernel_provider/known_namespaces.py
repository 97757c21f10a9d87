"""`KnownNamespaces`: where this user's hosts have had kernels, in files, so that a host that comes back looks there."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import suppress
from pathlib import Path

from remote_kernel_provider.files import make_private_folder

REMEMBERED = 30 * 24 * 3600.0
"""Seconds for which a namespace is remembered after a kernel was last made or seen in it."""

NOTED = 3600.0
"""Seconds after which that is noted anew."""


class KnownNamespaces:
    """An empty file for each namespace; its time says when a kernel was last made or seen there.

    Files, because several hosts of a user write at the same time, and none may take away what another has noted.

    Parameters
    ----------
    root
        Made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._noted: dict[Path, float] = {}

    async def note(self, server: str, namespace: str) -> None:
        """Remember a namespace of a cluster, before a kernel is made in it."""
        file = self._folder(server) / namespace
        if time.time() - self._noted.get(file, 0.0) > NOTED:
            await asyncio.to_thread(self._touch, file)
            self._noted[file] = time.time()

    async def names(self, server: str) -> list[str]:
        """Return the namespaces of a cluster that are remembered."""
        return await asyncio.to_thread(self._names, self._folder(server))

    def _folder(self, server: str) -> Path:
        return self._root / hashlib.sha256(server.encode()).hexdigest()[:16]

    def _touch(self, file: Path) -> None:
        for folder in (self._root, file.parent):
            make_private_folder(folder)
        file.touch(mode=0o600)

    def _names(self, folder: Path) -> list[str]:
        with suppress(FileNotFoundError):
            return [file.name for file in folder.iterdir() if self._is_fresh(file)]
        return []

    def _is_fresh(self, file: Path) -> bool:
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime < REMEMBERED:
                return True
            file.unlink()
        return False
