"""Finding spec files on the Jupyter path, and not reading again what has not changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jupyter_core.paths import jupyter_path

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.spec import KernelSpec

log = logging.getLogger(__name__)


class SpecFile(NamedTuple):
    """A kind of spec file.

    Parameters
    ----------
    name
        `local_kernel.json`, `k8skp_kernel.json`, `kernel.json` …
    read
        Reads one file; may raise SpecError, or return None for a file that is none of ours.
    """

    name: str
    read: Callable[[Path], KernelSpec | None]


class _Entry(NamedTuple):
    signature: tuple[int, int, int]
    spec: KernelSpec | None
    error: str


class SpecCatalog:
    """The kernel specs in all `kernels` folders.

    Of several specs of one name, the one in the stronger kind of file wins, and among equals the first on the path.

    Parameters
    ----------
    kinds
        The kinds of files, the strongest first; of each folder only the strongest that is there is read.
    folders
        Gives the `kernels` folders, first = strongest; by default the Jupyter path, asked anew at every listing.
    """

    def __init__(self, *kinds: SpecFile, folders: Callable[[], list[str]] | None = None) -> None:
        self._kinds = kinds
        self._folders = folders or (lambda: jupyter_path("kernels"))
        self._entries: dict[str, _Entry] = {}

    def specs(self) -> dict[str, KernelSpec]:
        """Return the valid specs by name; each bad file costs one warning until it changes."""
        return {name: entry.spec for name, entry in self._scan().items() if entry.spec is not None}

    def errors(self) -> list[str]:
        """Return one sentence for each bad file."""
        return [entry.error for entry in self._scan().values() if entry.error]

    def _scan(self) -> dict[str, _Entry]:
        found: list[dict[str, _Entry]] = [{} for _ in self._kinds]
        present: dict[str, _Entry] = {}
        for folder in self._folders():
            for name in _subfolders(folder):
                for kind, entries in zip(self._kinds, found, strict=True):
                    if name in entries:
                        break
                    path = f"{folder}/{name}/{kind.name}"
                    entry = self._entry(path, kind)
                    if entry is not None:
                        entries[name] = present[path] = entry
                        break
        self._entries = present
        return {name: entry for entries in reversed(found) for name, entry in entries.items()}

    def _entry(self, path: str, kind: SpecFile) -> _Entry | None:
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
            return _Entry(signature, kind.read(Path(path)), "")
        except SpecError as error:
            log.warning("A kernel spec is left out: %s", error)
            return _Entry(signature, None, str(error))


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
