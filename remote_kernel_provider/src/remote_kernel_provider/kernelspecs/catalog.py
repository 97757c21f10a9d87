"""Finding spec files on the Jupyter path, and not reading again what has not changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jupyter_core.paths import jupyter_path

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.spec import KernelSpec

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    signature: tuple[int, int, int]
    spec: KernelSpec | None
    error: str


class SpecCatalog:
    """The spec files of one name in all `kernels` folders; the first folder on the path wins.

    Parameters
    ----------
    file_name
        `local_kernel.json`, `k8skp_kernel.json` …
    read
        Reads one file; may raise SpecError, or return None for a file that is none of ours.
    folders
        Gives the `kernels` folders, first = strongest; by default the Jupyter path, asked anew at every listing.
    """

    def __init__(
        self,
        file_name: str,
        read: Callable[[Path], KernelSpec | None],
        folders: Callable[[], list[str]] | None = None,
    ) -> None:
        self._file_name = file_name
        self._read = read
        self._folders = folders or (lambda: jupyter_path("kernels"))
        self._entries: dict[str, _Entry] = {}

    def specs(self) -> dict[str, KernelSpec]:
        """Return the valid specs by name; each bad file costs one warning until it changes."""
        return {name: entry.spec for name, entry in self._scan() if entry.spec is not None}

    def errors(self) -> list[str]:
        """Return one sentence for each bad file."""
        return [entry.error for _, entry in self._scan() if entry.error]

    def _scan(self) -> Iterator[tuple[str, _Entry]]:
        present: dict[str, _Entry] = {}
        seen: set[str] = set()
        for folder in self._folders():
            for name in _subfolders(folder):
                path = f"{folder}/{name}/{self._file_name}"
                entry = self._entry(path) if name not in seen else None
                if entry is not None:
                    present[path] = entry
                    seen.add(name)
                    yield name, entry
        self._entries = present

    def _entry(self, path: str) -> _Entry | None:
        try:
            status = os.stat(path)  # noqa: PTH116  # thousands of files: a Path each would double the time
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.warning("%s: cannot be read: %s", path, error.strerror)
            return None
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._entries.get(path)
        if known is not None and known.signature == signature:
            return known
        try:
            return _Entry(signature, self._read(Path(path)), "")
        except SpecError as error:
            log.warning("A kernel spec is left out: %s", error)
            return _Entry(signature, None, str(error))


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
