"""A folder for the kernel's connection file, removed however the kernel ends."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType


class PrivateDirectory:
    """A folder that only this user can read, removed when this process ends or receives SIGTERM.

    Must be created on the main thread.

    Attributes
    ----------
    path : Path
        The folder.
    """

    def __init__(self) -> None:
        # A host that removes a folder of its own with the kernel names it: so nothing stays even after SIGKILL.
        parent = os.environ.pop("KERNEL_PRIVATE_FOLDER", None)
        self.path = Path(tempfile.mkdtemp(prefix="kernel-", dir=parent))
        self._owner = os.getpid()
        atexit.register(self.remove)
        # By default SIGTERM ends a process without running what was registered with atexit.
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)

    def remove(self) -> None:
        """Remove the folder; does nothing in processes that user code forked, nor when it is gone."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.path, ignore_errors=True)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        self.remove()
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        # Only the first process of a container gets here: the default action does not apply to it.
        os._exit(128 + signum)
