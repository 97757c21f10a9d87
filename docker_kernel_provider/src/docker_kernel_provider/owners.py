"""Who adopted a container: its labels say who launched it, and cannot be changed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from remote_kernel_provider.files import make_private_folder, write_private
from remote_kernel_provider.owner import Owner


class AdoptedOwners:
    """The new owners of adopted containers, as files of this user's data folder.

    Only hosts that share the folder can adopt each other's kernels, so nobody else has to know.

    Parameters
    ----------
    folder
        Made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> dict[str, Owner]:
        """Return the owners by the names of their containers."""
        found = {}
        with suppress(OSError):
            for file in self._folder.iterdir():
                with suppress(OSError, ValueError, TypeError):
                    found[file.name] = Owner(**json.loads(file.read_bytes()))
        return found

    def note(self, name: str, owner: Owner) -> None:
        """Write down a new owner."""
        make_private_folder(self._folder)
        write_private(self._folder / name, json.dumps(asdict(owner)).encode())

    def forget(self, name: str) -> None:
        """Remove what is written of a container that is gone."""
        with suppress(OSError):
            (self._folder / name).unlink()
