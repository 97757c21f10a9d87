"""An ssh server of the tests, on loopback, and a client that knows it and nothing else."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from engine.ports import free_port, listens

NAME = "lab"
"""What the client's configuration calls the server's machine."""
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Where a server that root starts shuts itself in; made by whoever starts the system's own."""
START_DEADLINE = 10.0
SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
CLIENT = f"""
Host {NAME}
  HostName 127.0.0.1
  Port {{port}}
  User root
  IdentityFile {{folder}}/key
  IdentitiesOnly yes
  UserKnownHostsFile {{folder}}/known_hosts
  GlobalKnownHostsFile none
  # Of a person who works there, too; it can be made once.
  LocalForward 127.0.0.1:{{port}} 127.0.0.1:1
"""


def obstacle() -> str:
    """Say why no ssh server can be started here; empty = it can."""
    if os.geteuid() != 0:
        return "an ssh server that lets root in needs root"
    missing = {"sshd": "openssh-server", "ssh": "openssh-client"}
    packages = [package for program, package in missing.items() if shutil.which(program) is None]
    return f"not installed: {', '.join(packages)}" if packages else ""


class Sshd:
    """An ssh server with keys of its own; a context manager.

    Parameters
    ----------
    folder
        For all of its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made_folder = False

    def __enter__(self) -> "Sshd":
        for name in ("host_key", "key"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)]
            subprocess.run(make, check=True)
        shutil.copy(self._folder / "key.pub", self._folder / "authorized_keys")
        public = " ".join((self._folder / "host_key.pub").read_text().split()[:2])
        (self._folder / "known_hosts").write_text(f"[127.0.0.1]:{self._port} {public}\n")
        for name, text in (("server", SERVER), ("client", CLIENT)):
            (self._folder / name).write_text(text.format(folder=self._folder, port=self._port))
        # ssh looks for its files in the home of the account, wherever HOME is.
        program = self.programs / "ssh"
        self.programs.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self._folder}/client "$@"\n')
        program.chmod(0o755)
        self._made_folder = not PRIVILEGE_SEPARATION.exists()
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._made_folder:
            with suppress(OSError):  # another server of the tests uses it
                PRIVILEGE_SEPARATION.rmdir()

    @property
    def programs(self) -> Path:
        """The folder of the client, to be the first of `PATH`."""
        return self._folder / "bin"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with (self._folder / "log").open("ab") as log:
            command = [str(shutil.which("sshd")), "-D", "-e", "-f", str(self._folder / "server")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_DEADLINE
        while not listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and its connections."""
        if self._process is not None:
            connections = self.connections()
            self._process.kill()
            self._process.wait()
            _kill(connections)
        self._process = None

    def cut(self) -> None:
        """End its connections, as a network that goes does."""
        _kill(self.connections())

    def connections(self) -> list[int]:
        """Return the processes that serve one connection each."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [int(pid) for pid in children]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
