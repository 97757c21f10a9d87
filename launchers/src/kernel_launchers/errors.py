"""What a launcher refuses or fails to do.

::

    LauncherError      the kernel cannot be started or reported (exit status 1)
    └── UsageError     the launcher was called wrongly          (exit status 2)
"""

from __future__ import annotations


class LauncherError(Exception):
    """A kernel that cannot be started or reported; the message is one sentence for the person who reads the log."""

    exit_status = 1


class UsageError(LauncherError):
    """A missing, malformed or unsupported argument."""

    exit_status = 2
