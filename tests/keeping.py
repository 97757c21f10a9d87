"""What tests make once and keep in the user's cache, for later runs and for other checkouts."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "remote-kernel-providers"
MONTH = 30 * 24 * 3600.0
DIGITS = 12


def place(kind: str, recipe: str) -> Path:
    """Return the folder in which `kept` keeps something, whether it is there or not."""
    return CACHE / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:DIGITS]}"


def kept(kind: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return a folder with something that is costly to make; whoever needs it first makes it, and all others wait.

    What nobody has needed for a month is removed.

    Parameters
    ----------
    kind
        A word for what it is.
    recipe
        All that its content depends on.
    make
        Fills the folder.
    """
    folder = place(kind, recipe)
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f"{kind}.lock"):
        complete = folder / "complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
        complete.touch()
        for other in CACHE.glob(f"{kind}-{'?' * DIGITS}/complete"):
            if other.stat().st_mtime < time.time() - MONTH:
                shutil.rmtree(other.parent)
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that the operating system gives back, however this process ends."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
