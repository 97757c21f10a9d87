"""`Daemon`: a `dockerd` that a test run started."""

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from containment import end_shims, make_group, remove_group
from packet_rules import remove_rules

CACHE = Path(__file__).parents[2] / ".cache" / "engine"
"""What a later run can use again: the base images and the engine's data."""
PROGRAMS = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "docker-init": "docker.io",
}
"""The programs that are needed, and the Debian packages that have them."""
SWARMS_BRIDGE = "docker_gwbridge"
"""Of all engines of this machine that are nodes of a Swarm; it cannot have another name."""
START_DEADLINE = 60.0
STOP_DEADLINE = 30.0


def obstacle() -> str:
    """Say why this machine cannot run an engine of the tests; empty = it can."""
    if os.geteuid() != 0:
        return "starting a Docker engine needs root; TEST_DOCKER_HOST names one that is there"
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    return f"not installed: {', '.join(missing)}" if missing else ""


class Daemon:
    """One `dockerd`, with socket, pid file, data and bridge of its own.

    Parameters
    ----------
    data
        Folder of its data and its log.
    options
        More options of `dockerd`.
    """

    def __init__(self, data: Path, *options: str) -> None:
        name = hashlib.sha256(str(data).encode()).hexdigest()[:8]
        # Not in the data folder: the path of a socket may have 107 characters.
        self._run = Path(f"/run/rkp-engine-{name}")
        self._bridge = f"rkp{name}"
        self._group = f"rkp-engine-{name}"
        self._data = data
        self._data_root = data
        """The same, as the engine sees it."""
        self._options = options
        self._pid_file = self._run / "pid"
        self.socket = self._run / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = data / "dockerd.log"

    @property
    def pid(self) -> int | None:
        """Its process; None when it does not run."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            # The number may be another process's by now.
            if str(self._data_root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        return None

    def answers(self) -> bool:
        """Whether it answers; it listens some time before."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(self.socket))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(64)
        return False

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self.pid is not None and self.answers():
            return
        self._data.mkdir(parents=True, exist_ok=True)
        self._run.mkdir(mode=0o700, exist_ok=True)
        # Its own configuration file, though there is none, so that a person's is not read.
        (self._run / "none.json").write_text("{}")
        self._prepare()
        with self.log.open("ab") as log:
            # A session of its own: it outlives the run that started it, when another run uses it too.
            process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                # It starts itself anew at each step of a container, and would collect garbage each time.
                env={**os.environ, "GOGC": "400"},
            )
        deadline = time.monotonic() + START_DEADLINE
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start; the end of its log:\n{self.log_tail()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it by SIGKILL, as the out-of-memory killer does; its containers' processes may go on."""
        self._end(signal.SIGKILL)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End it, and remove what it had beside its data.

        In order, by default, with all that runs on it. SIGKILL is quicker where nothing does: a Swarm's node takes its
        time to leave.
        """
        self._end(signum)
        end_shims(self._run / "exec/containerd/containerd.sock")
        remove_group(self._group)
        # What its containers had mounted, and its data folder itself, which it mounts on itself.
        for folder in (self._data, *self._run.glob("exec/netns/*")):
            subprocess.run(["umount", "--recursive", "--lazy", str(folder)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self._bridge], capture_output=True, check=False)
        remove_rules(lambda rule: self._bridge in rule)
        shutil.rmtree(self._run, ignore_errors=True)

    def remove(self, signum: int = signal.SIGTERM) -> None:
        """Stop it, and remove its data too."""
        self.stop(signum)
        shutil.rmtree(self._data, ignore_errors=True)

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def _end(self, signum: int) -> None:
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signum)
        deadline = time.monotonic() + STOP_DEADLINE
        while self.pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        # The next one would take a zombie, which may be another process's child, for an engine that runs.
        self._pid_file.unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Make what it needs beside its folders."""
        self._make_bridge()
        self._forget_dead_containerd()

    def _command(self) -> list[str]:
        group = make_group(self._group)
        parent = ["--cgroup-parent", group] if group else []
        return ["dockerd", *self._places(), *("--bridge", self._bridge), *parent, *self._options]

    def _places(self) -> list[str]:
        """Return the options that keep it apart from other engines of this machine."""
        return [
            *("--host", self.host),
            *("--data-root", str(self._data_root)),
            *("--exec-root", str(self._run / "exec")),
            *("--pidfile", str(self._pid_file)),
            *("--config-file", str(self._run / "none.json")),
        ]

    def _forget_dead_containerd(self) -> None:
        """Remove the pid file of a containerd that ends with a killed engine, once it has ended.

        The next engine would wait for it in vain: while it ends, and, where nobody collects the dead, for its zombie.
        """
        file = self._run / "exec/containerd/containerd.pid"
        deadline = time.monotonic() + STOP_DEADLINE
        with suppress(OSError, ValueError):
            command = Path(f"/proc/{int(file.read_text())}/cmdline")
            while str(self._run).encode() in command.read_bytes() and time.monotonic() < deadline:
                time.sleep(0.01)
        file.unlink(missing_ok=True)

    def _make_bridge(self) -> None:
        if (Path("/sys/class/net") / self._bridge).exists():
            return
        # An engine gives its bridge the address that it remembers, which may be another engine's by now.
        shutil.rmtree(self._data / "network", ignore_errors=True)
        with Path("/run/rkp-engine.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other checkouts look for an address, too
            routes = _output("ip", "-4", "route", "show", "table", "all")
            number = next((number for number in range(255, 0, -1) if f"10.213.{number}." not in routes), None)
            if number is None:
                raise RuntimeError("no network of 10.213.0.0/16 is free for the engine's bridge")
            _output("ip", "link", "add", "name", self._bridge, "type", "bridge")
            _output("ip", "address", "add", f"10.213.{number}.1/24", "dev", self._bridge)
            _output("ip", "link", "set", self._bridge, "up")


class SharedDaemon(Daemon):
    """The engine of this checkout, which all test processes share; the last of them stops it."""

    def __init__(self) -> None:
        super().__init__(CACHE / "data")
        self._kept = CACHE / "kept"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have it run, for as long as the context lasts."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "users.lock").open("w") as users:
            with self.alone():
                fcntl.flock(users, fcntl.LOCK_SH)
                self.start()
            try:
                yield
            finally:
                with self.alone(), suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not self._kept.exists():
                        self.stop()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process do what must be done once."""
        with (CACHE / "alone.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End it, with the bridge that engines with a Swarm share, unless one of them uses it."""
        super().stop(signum)
        ports = Path("/sys/class/net", SWARMS_BRIDGE, "brif")
        if ports.is_dir() and not any(ports.iterdir()):
            subprocess.run(["ip", "link", "delete", SWARMS_BRIDGE], capture_output=True, check=False)
            remove_rules(lambda rule: SWARMS_BRIDGE in rule)

    def keep(self, kept: bool) -> None:
        """Say whether it goes on when no test uses it."""
        CACHE.mkdir(parents=True, exist_ok=True)
        self._kept.touch() if kept else self._kept.unlink(missing_ok=True)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
