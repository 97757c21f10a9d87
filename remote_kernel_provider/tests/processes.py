"""The processes of local kernels, as the operating system shows them."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import psutil

from remote_kernel_provider.manager import RemoteKernelManager

TINY = ("python", "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", "{connection_file}")
"""Command of a kernel that starts in a tenth of a second."""


def folder_of(manager: RemoteKernelManager) -> Path:
    """Return the folder of a local kernel."""
    return Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "remote-kernels" / manager.resource.id


def unlikely_seconds() -> str:
    """Return an argument of `sleep` that tells this test's processes from all others."""
    return f"60{uuid.uuid4().int % 10**6}"


def running(marker: str) -> list[psutil.Process]:
    """Return the processes whose command holds a word."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if marker in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
