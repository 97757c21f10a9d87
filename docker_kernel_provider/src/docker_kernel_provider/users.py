"""`KnownUsers`: as whom kernels run in the images that were looked into, kept for the next host too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker_kernel_provider.image import Image, RunAs, Wanted, run_as
from remote_kernel_provider.files import make_private_folder, write_private

if TYPE_CHECKING:
    from docker import APIClient

KEPT = 100
"""Images that are kept: of each some two hundred bytes."""


class KnownUsers:
    """Remembers looks into images by the images' digests, which stand for their content.

    Parameters
    ----------
    file
        Of this user's data folder; made with the first look.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[tuple[str, Wanted], RunAs] = {}

    def get(self, image: Image, wanted: Wanted) -> RunAs | None:
        """Return what this process knows of an image."""
        return self._known.get((image.id, wanted))

    def find_out(
        self, client: APIClient, image: Image, wanted: Wanted, container: Mapping[str, Any], name: str
    ) -> RunAs:
        """Return what any process of this user's found out of an image, else look; blocks. See `run_as`."""
        prohibited = sorted(wanted.prohibited_uids), sorted(wanted.prohibited_gids)
        key = hashlib.sha256(repr((image.id, wanted.uid, wanted.gid, *prohibited)).encode()).hexdigest()
        found = self._read().get(key)
        if found is None:
            found = run_as(client, image, wanted, container, name)
            newest = {**self._read(), key: found}
            self._write(dict(list(newest.items())[-KEPT:]))
        self._known[image.id, wanted] = found
        return found

    def _read(self) -> dict[str, RunAs]:
        # What cannot be read is found out again.
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return {key: RunAs(**fields) for key, fields in json.loads(self._file.read_bytes()).items()}
        return {}

    def _write(self, known: Mapping[str, RunAs]) -> None:
        # Of two processes at once one can lose its line, which costs another look.
        with suppress(OSError):  # a disk that is full ends no launch
            make_private_folder(self._file.parent)
            write_private(self._file, json.dumps({key: asdict(found) for key, found in known.items()}).encode())
