"""Files that only their user can read, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any


def parse_json(text: bytes) -> Any:
    """Parse a document that somebody else wrote.

    Raises
    ------
    ValueError
        When it is not JSON, or is nested too deep to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def safe_name(text: str) -> str:
    """Make the name of a file or folder of a text that a client may have chosen, at most 120 characters of it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:120].lstrip(".") or "_"


def make_private_folder(folder: Path) -> None:
    """Make a folder of mode 0700 where it does not exist; folders above it are made as the umask says."""
    # mkdir gives its mode to the last folder only.
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private(file: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file of mode 0600 that appears complete or not at all.

    Parameters
    ----------
    file
        Its folder exists.
    content
        The whole content.
    replace
        Whether an existing file is replaced; else it stays as it is.
    """
    # mkstemp makes the file with mode 0600 before the first byte is in it.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        if replace:
            temporary.replace(file)
        else:
            with suppress(FileExistsError):
                os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
