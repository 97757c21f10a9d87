"""One process of this machine: starting it, knowing when and why it ended, without polling."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.status import KernelStatus, Phase


def start_time(pid: int) -> str | None:
    """Return when a process started, in the operating system's own words, or None when there is no such process.

    Together with the pid it tells a process from a later one with the same pid.
    """
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    else:  # noqa: RET505  # type checkers know a platform only by if and else
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return ""


def machine() -> dict[str, str]:
    """Return what tells this machine, and its present boot, from others that may share the user's folders."""
    uname = os.uname()
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # not a path that exists
    return {"node": uname.nodename, "boot": boot, "namespace": namespace}


def spawn(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None, output: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output in a file.

    A pipe would end the kernel with its host: its first `print` into a pipe without a reader is fatal.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def writers(output: Path) -> list[int]:
    """Return the session leaders that have this file open: what a host that was killed had just started.

    Not only as their standard output: ipykernel takes that over, and keeps the file under another number.
    """
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/fd/[0-9]*"):
        with suppress(OSError):
            if os.readlink(entry) == str(output):  # noqa: PTH115  # compared, not followed
                pid = int(entry.parts[2])
                if pid not in found and os.getsid(pid) == pid:
                    found.append(pid)
    return found


class WatchedProcess:
    """A running process, a child of ours or not; the operating system tells when it ends.

    Parameters
    ----------
    pid, started
        What identifies it: its id and `start_time`.
    child
        Its handle where this process started it; only a parent learns the exit code.
    """

    def __init__(self, pid: int, started: str | None, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.started = started
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._kills = oom_kills()
        self._descriptor: int | None = None
        self._queue: Any = None  # a select.kqueue, on macOS
        self.ended = asyncio.Event()
        self.status = KernelStatus(Phase.RUNNING, "127.0.0.1")
        self._watch()

    def _watch(self) -> None:
        try:
            self._descriptor = self._open()
        except ProcessLookupError:
            self._end()
            return
        if self._child is None and start_time(self.pid) != self.started:
            self._close()  # another process has the pid by now
            self._end()
            return
        self._loop.add_reader(self._descriptor, self._on_exit)

    def _open(self) -> int:
        if sys.platform == "linux":
            return _pidfd_open(self.pid)
        else:  # noqa: RET505  # as above
            self._queue = select.kqueue()
            flags = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            event = select.kevent(self.pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)
            try:
                self._queue.control([event], 0)
            except OSError:
                self._queue.close()
                raise ProcessLookupError from None
            return self._queue.fileno()

    def _on_exit(self) -> None:
        self._close()
        self._end()

    def _end(self) -> None:
        code = self._child.wait() if self._child is not None else None  # ended: returns at once, and leaves no zombie
        self.status = explain_exit(code, oom_kills() > self._kills)
        self.ended.set()

    def _close(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            if self._queue is not None:
                self._queue.close()
            else:
                os.close(self._descriptor)
            self._descriptor = None

    def stop_watching(self) -> None:
        """Release the descriptor; the process goes on."""
        self._close()

    def signal(self, signum: int) -> None:
        """Send a signal to the process alone.

        Raises
        ------
        ProcessLookupError
            When it has ended.
        """
        if self._descriptor is None:
            raise ProcessLookupError
        if sys.platform == "linux":
            _pidfd_send_signal(self._descriptor, signum)
        else:
            os.kill(self.pid, signum)

    def signal_group(self, signum: int) -> None:
        """Send a signal to the process and all of its group that is left, also when it has ended itself."""
        signal_group(self.pid, self.started, signum)


def _pidfd_open(pid: int) -> int:
    return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else _system_call(434, pid, 0)


def _pidfd_send_signal(descriptor: int, signum: int) -> None:
    if hasattr(signal, "pidfd_send_signal"):
        signal.pidfd_send_signal(descriptor, signum)
    else:
        _system_call(424, descriptor, signum, None, 0)


def _system_call(number: int, *arguments: int | None) -> int:
    """Make a system call that a Python built on an old system lacks; these have one number on every architecture."""
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def signal_group(pid: int, started: str | None, signum: int) -> None:
    """Send a signal to all that is left of the group that a process leads or led."""
    # A process id is not given again while a group of that number has members.
    if pid > 0 and start_time(pid) in (None, started):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signum)


def oom_kills() -> int:
    """Count the out-of-memory kills in this process's control group, or on the machine where it has none.

    Local kernels share the control group of their host.
    """
    for file in _oom_counters():
        with suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return 0


def _oom_counters() -> list[Path]:
    counters = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                counters.append(Path(f"/sys/fs/cgroup{path}/memory.events"))
            elif "memory" in controllers.split(","):
                counters.append(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    return [*counters, Path("/proc/vmstat")]
