"""What the container runtimes of the tests have in common: their control group, and what they leave behind."""

import os
import signal
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
SHARES = 8192
"""Of the processors' time, where one process outside of any group has 1024."""


def make_group(name: str) -> str:
    """Make a control group whose containers together get as much of a busy machine as eight processes of tests.

    By default they get as much as one, and a kernel does not answer in time while other tests compute.

    Parameters
    ----------
    name
        Of the group, directly below the top.

    Returns
    -------
    str
        Its path, for options of runtimes; empty where the machine has no groups of version 1, and defaults have to do.
    """
    if not (GROUPS / "cpu/cpu.shares").exists():
        return ""
    for hierarchy in GROUPS.glob("*/cgroup.procs"):
        (hierarchy.parent / name).mkdir(exist_ok=True)
    (GROUPS / "cpu" / name / "cpu.shares").write_text(str(SHARES))
    return f"/{name}"


def remove_group(name: str) -> None:
    """Remove a control group and those in it, but for those in which something runs."""
    for top in (*GROUPS.glob(f"*/{name}"), GROUPS / name):
        for group, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(group).rmdir()


def end_shims(socket: Path) -> None:
    """End the containers that outlived the containerd of a socket: their shims do not depend on it."""
    address = str(socket).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"containerd-shim-runc-v2") and address in words:
                for child in (entry / f"task/{entry.name}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                os.kill(int(entry.name), signal.SIGKILL)
