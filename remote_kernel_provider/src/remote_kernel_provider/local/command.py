"""The command of a local kernel: which program it means, and whether that can be run."""

from __future__ import annotations

import os
import re
import shutil
import sys

from remote_kernel_provider.kernelspecs.spec import KernelSpec

_OWN_PYTHON = re.compile(rf"python({sys.version_info[0]}(\.{sys.version_info[1]})?)?")


def with_own_python(command: list[str]) -> list[str]:
    """Run `python` as the Python that runs the host, as jupyter_client does: the one on PATH may be another."""
    if command and _OWN_PYTHON.fullmatch(command[0]):
        return [sys.executable, *command[1:]]
    return command


def command_fault(spec: KernelSpec) -> str:
    """Say what keeps a spec's command from being run here; empty = nothing."""
    if not spec.argv:
        return "its 'argv' is empty; a local kernel needs a command"
    command = spec.command({})[0]
    path = spec.env.get("PATH") or os.environ.get("PATH")
    if _OWN_PYTHON.fullmatch(command) or shutil.which(command, path=path):
        return ""
    return f"its command '{command}' does not exist, or may not be executed"
