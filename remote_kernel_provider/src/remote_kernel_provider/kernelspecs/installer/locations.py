"""The `kernels` folders that an installer writes to and looks in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jupyter_core.paths import SYSTEM_JUPYTER_PATH, jupyter_data_dir, jupyter_path, prefer_environment_over_user

KERNELS = "kernels"


def kernels_folder_of(prefix: str) -> Path:
    """Return the `kernels` folder of an environment."""
    # Not resolved: a prefix that is a link, such as a `current` environment, stays what the user wrote.
    return Path(os.path.abspath(Path(prefix).expanduser())) / "share" / "jupyter" / KERNELS  # noqa: PTH100


def user_kernels_folder() -> Path:
    """Return the user's own `kernels` folder."""
    return Path(jupyter_data_dir()) / KERNELS


def default_kernels_folder() -> Path:
    """Return where to install when nothing is said.

    A virtual environment keeps its kernels to itself; outside of one they go where every user finds them, or, for want
    of the permission, to the user's own folder.
    """
    if prefer_environment_over_user():
        return kernels_folder_of(sys.prefix)
    system = Path(SYSTEM_JUPYTER_PATH[0]) / KERNELS
    return system if _is_writable(system) else user_kernels_folder()


def jupyter_kernels_folders() -> list[Path]:
    """Return the folders in which Jupyter looks for kernels, first = strongest."""
    return [Path(folder) for folder in jupyter_path(KERNELS)]


def _is_writable(folder: Path) -> bool:
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(nearest, os.W_OK | os.X_OK)
