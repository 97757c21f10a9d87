"""`SshTunnel`: an engine's socket and ports of its machine, as Unix sockets of this host, by the person's own ssh."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from docker_kernel_provider.errors import EngineUnreachableError
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import ConfigurationError, RemoteKernelError
from remote_kernel_provider.private_loop import end_task, within

log = logging.getLogger(__name__)

ENGINE_SOCKET = "/var/run/docker.sock"
"""Where an engine listens unless its URL has a path."""
CONNECT_DEADLINE = 30.0
"""Seconds that ssh has until its session runs."""
COMMAND_DEADLINE = 10.0
"""Seconds that a running ssh has to forward something more."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two attempts to connect again; each pause doubles."""

_MACHINE = re.compile(r"([\w.+][\w.+-]*@)?(\w[\w.-]*|\[[0-9A-Fa-f:.]+\])(:\d+)?")
_SESSION = "echo; exec cat"
"""Says that it runs, and ends when this process does, whose pipe it reads, so that no ssh is left behind."""
_OPTIONS = (
    # Never a question, on whose answer a launch would wait.
    "BatchMode=yes",
    "ConnectTimeout=15",
    # A connection of our own, which others can share with us; it has none of the forwards that the person's file names.
    "ControlMaster=yes",
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    # So a connection that is cut in silence is missed within a minute.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "StreamLocalBindMask=0177",
    "StreamLocalBindUnlink=yes",
)


class SshTunnel:
    """One ssh for all that this process wants of one machine; lives on the private loop.

    The sockets are in a folder of mode 0700. When the connection ends, it is made again, and the same sockets lead to
    the same places.

    Parameters
    ----------
    url
        `ssh://user@machine`, perhaps with a port, and with the path of the engine's socket there.
    """

    def __init__(self, url: str) -> None:
        self._target, self._remote_socket = split_url(url)
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._opening: asyncio.Task[Path] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._forwards: dict[str, Sequence[str]] = {}
        self._count = 0

    async def open(self) -> Path:
        """Have ssh connected, and return the socket that leads to the engine.

        Raises
        ------
        EngineUnreachableError
            With ssh's own words.
        """
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._opened)
        # Whoever is cancelled leaves the attempt to the others.
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[Path]) -> None:
        self._opening = None
        _ = opening.cancelled() or opening.exception()  # looked at, so that nobody complains about it

    async def _open(self) -> Path:
        if self._folder is None:
            # Short, as a socket's path has a hundred characters at most.
            self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rkp-"))
        engine = self._folder / "engine"
        if self._process is None or self._process.returncode is not None:
            process = await self._connect(self._folder)
            try:
                kernels = (forward for forwards in self._forwards.values() for forward in forwards)
                await self._command("forward", (f"{engine}:{self._remote_socket}", *kernels))
            except BaseException as error:  # a cancellation included: half a connection is none
                process.kill()
                if isinstance(error, RemoteKernelError):
                    raise EngineUnreachableError(f"the way to the Docker engine is barred: {error}") from None
                raise
            self._process = process
            if self._keeping is None:
                self._keeping = asyncio.get_running_loop().create_task(self._keep(process))
        return engine

    async def _connect(self, folder: Path) -> asyncio.subprocess.Process:
        (folder / "control").unlink(missing_ok=True)  # an ssh that was killed leaves it
        options = [word for option in _OPTIONS for word in ("-o", option)]
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *("ssh", *options, "-S", str(folder / "control"), self._target, _SESSION),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,  # a Ctrl-C on the terminal is not meant for it
            )
        except OSError as error:
            raise EngineUnreachableError(f"ssh cannot be run ({error.strerror}); install an ssh client") from None
        said = _LastLine(process.stderr)
        try:
            assert process.stdout is not None  # a pipe, as asked for above
            line = await within(CONNECT_DEADLINE, process.stdout.readline())
            if line:
                return process
            await said.ended()
            words = said.line or "it ended without a word"
        except asyncio.TimeoutError:
            process.kill()
            words = f"nothing runs there after {CONNECT_DEADLINE:g} s"
        except BaseException:  # a cancellation: nobody would end it
            process.kill()
            raise
        raise EngineUnreachableError(
            f"ssh does not reach the Docker engine's machine ({words}); 'ssh {self._target}' has to get in there "
            "without a question"
        )

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        """Connect again whenever the connection ends."""
        pause = FIRST_PAUSE
        while True:
            await process.wait()
            await asyncio.sleep(pause)
            try:
                await self.open()
            except RemoteKernelError as error:
                log.debug("ssh: %s", error)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            assert self._process is not None  # it is open
            process = self._process

    async def forward(self, kernel: str, route: Route) -> Route:
        """Return where this host reaches ports of the machine, from now on and for as long as nobody gives them up.

        Parameters
        ----------
        kernel
            For whom.
        route
            As the machine reaches them.

        Raises
        ------
        RemoteKernelError
            When ssh refuses it.
        """
        await self.give_up(kernel)
        folder = (await self.open()).parent
        self._count += 1
        prefix = f"{folder}/{self._count}"
        # From here on whoever connects anew forwards them too.
        self._forwards[kernel] = [f"{prefix}-{port}:{route.ip}:{port}" for port in route.ports]
        await self._command("forward", self._forwards[kernel])
        return Route(prefix, route.ports, "ipc")

    async def give_up(self, kernel: str) -> None:
        """Forward a kernel's ports no longer."""
        forwards = self._forwards.pop(kernel, ())
        if forwards:
            with suppress(RemoteKernelError):  # a connection that has ended forwards nothing
                await self._command("cancel", forwards)
            for forward in forwards:
                Path(forward.partition(":")[0]).unlink(missing_ok=True)

    async def _command(self, word: str, forwards: Sequence[str]) -> None:
        """Have the ssh that runs forward something, or end that."""
        assert self._folder is not None  # it is open
        words = [part for forward in forwards for part in ("-L", forward)]
        try:
            process = await asyncio.create_subprocess_exec(
                # Without the person's file, whose own forwards it would ask for again.
                *("ssh", "-F", "none", "-S", str(self._folder / "control"), "-O", word, *words, self._target),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, RuntimeError) as error:  # at the interpreter's end no thread can wait for a process
            raise RemoteKernelError(f"ssh cannot be run: {error}") from None
        try:
            _, said = await within(COMMAND_DEADLINE, process.communicate())
        except asyncio.TimeoutError:
            raise RemoteKernelError(f"ssh does not answer within {COMMAND_DEADLINE:g} s") from None
        finally:
            if process.returncode is None:  # nobody else would end it
                process.kill()
        if process.returncode:
            raise RemoteKernelError(f"ssh refuses to {word} it: {said.decode(errors='replace').strip()}")

    async def close(self) -> None:
        """End ssh, and remove the sockets."""
        for task in (self._keeping, self._opening):
            if task is not None:
                await end_task(task)
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._process = self._keeping = None
        self._forwards = {}
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None


class _LastLine:
    """Reads what ssh has to say, to its end, and keeps the last line."""

    def __init__(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None  # a pipe
        self.line = ""
        self._reading = asyncio.get_running_loop().create_task(self._read(stream))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.line = line.decode(errors="replace").strip() or self.line

    async def ended(self) -> None:
        """Wait for the last line."""
        await self._reading


def split_url(url: str) -> tuple[str, str]:
    """Split an engine's URL into what ssh takes and the path of the engine's socket there.

    Raises
    ------
    ConfigurationError
        When it holds a password, or is none.
    """
    parts = urlsplit(url)
    if parts.password is not None:
        raise ConfigurationError("the ssh address of the Docker engine holds a password; use a key, and leave it out")
    is_plain = _MACHINE.fullmatch(parts.netloc) and re.fullmatch(r"[\w./-]*", parts.path)
    if not is_plain or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"'{url}' is no ssh address of a Docker engine; say ssh://user@machine")
    return f"ssh://{parts.netloc}", parts.path.rstrip("/") or ENGINE_SOCKET
