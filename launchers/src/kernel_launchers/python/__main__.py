"""Entry point of the Python launcher, in the kernel's own process."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TextIO

PROGRAM = "launch-ipykernel"


def main() -> int:
    """Start the kernel that the arguments describe, and return the exit status when it has ended.

    Returns
    -------
    int
        0 after the kernel's orderly end, 1 if it cannot be started or reported, 2 if the arguments are wrong.
    """
    from kernel_launchers.arguments import parse_arguments
    from kernel_launchers.errors import LauncherError

    log = _log_to(_own_stderr())
    try:
        arguments = parse_arguments(sys.argv[1:], os.environ, PROGRAM)
        # For the user's code: the arguments are the host's and mean nothing to it.
        del sys.argv[1:]
        # ipykernel ends a kernel whose parent process is not the one that this variable names. A launcher's
        # parent may be a shell or a submit command that ends at once. ipykernel reads it when imported.
        os.environ.pop("JPY_PARENT_PID", None)

        from kernel_launchers.python.launch import launch

        launch(arguments)
    except LauncherError as error:
        log.error("%s", error)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except Exception:  # the kernel has captured the interpreter's own stderr: nobody would see the traceback
        log.exception("the kernel failed")
        return 1
    return 0


def _own_stderr() -> TextIO:
    """Duplicate stderr, because the kernel redirects file descriptor 2 to its clients."""
    try:
        descriptor = os.dup(2)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    return os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace")


def _log_to(stream: TextIO) -> logging.Logger:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: %(message)s"))
    logger = logging.getLogger("kernel_launchers")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # The root logger is the user's.
    logger.propagate = False
    return logger


def _forget_working_directory() -> None:
    """Undo what ``python -m`` does: a user's file ``random.py`` must not shadow a module that the kernel imports.

    IPython puts the working directory back for the user's own imports.
    """
    if not getattr(sys.flags, "safe_path", False) and sys.path and Path(sys.path[0]) == Path.cwd():
        del sys.path[0]


if __name__ == "__main__":
    _forget_working_directory()
    sys.exit(main())
