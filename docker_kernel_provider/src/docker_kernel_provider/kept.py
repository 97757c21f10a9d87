"""`KeptFiles`: what this user's data folder keeps of single kernels, because neither labels nor secrets can hold it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from remote_kernel_provider.files import make_private_folder, write_private

OWNER = "owner"
"""Who adopted the kernel."""
MEMORY = "memory"
"""What must survive the host, sealed."""


class KeptFiles:
    """Files about kernels, in a folder for each kernel.

    These folders lie in one for each engine: what one engine lists says nothing of another's kernels.

    Parameters
    ----------
    root
        Made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def _folder(self, engine: str) -> Path:
        return self._root / (re.sub(r"[^A-Za-z0-9-]", "", engine) or "unknown")

    def names(self, engine: str) -> list[str]:
        """Return the names of the kernels of an engine, by its id, of which something is kept."""
        folder = self._folder(engine)
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def read(self, engine: str, name: str, file: str) -> bytes | None:
        """Return what a file of a kernel holds; None when there is none."""
        try:
            return (self._folder(engine) / name / file).read_bytes()
        except OSError:
            return None

    def write(self, engine: str, name: str, file: str, content: bytes) -> None:
        """Write a file of a kernel."""
        folder = self._folder(engine) / name
        for each in (self._root, folder.parent, folder):
            make_private_folder(each)
        write_private(folder / file, content)

    def files(self, name: str) -> list[Path]:
        """Return what is kept of a kernel."""
        return sorted(self._root.glob(f"*/{name}/*"))

    def forget(self, name: str) -> None:
        """Remove what is kept of a kernel, whose name no other has on any engine."""
        for folder in self._root.glob(f"*/{name}"):
            shutil.rmtree(folder, ignore_errors=True)
