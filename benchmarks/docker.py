"""Kernels in containers, against the engine's own API and against gateway_provisioners, with one image for all.

The floor is what nobody can do without: create a container, put the connection file into it, start it, ask the kernel
for its kernel_info. The engine is the tests' own.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tarfile
import uuid
import venv
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient

from benchmarks.measuring import Row, alternate, timed
from benchmarks.relay import CountingRelay
from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.host import Host, system_identity
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.parameters.launch_parameters import ClientRequest

if TYPE_CHECKING:
    from docker import APIClient

ROOT = Path(__file__).parents[1]
CROWD = 24
IDLE_SECONDS = 60.0
PEER = "gateway_provisioners[docker]==0.5.0"
COMMAND = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
FILE = "/tmp/connection.json"


class Floor:
    """A kernel in a container with nothing but the SDK.

    Parameters
    ----------
    client, image
        The SDK's client and the image.
    """

    def __init__(self, client: APIClient, image: str) -> None:
        self._client = client
        self._image = image
        self._container = ""

    async def start(self) -> ConnectionInfo:
        """Start it, and wait for its first reply."""
        connection = await asyncio.to_thread(self._start)
        channels = KernelChannels(connection)
        await channels.until_open()
        await channels.kernel_info()
        return connection

    def _start(self) -> ConnectionInfo:
        names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
        ports = dict(zip(names, random.sample(range(20_000, 32_000), 5), strict=True))
        fields: dict[str, Any] = {"transport": "tcp", "signature_scheme": "hmac-sha256", "key": secrets.token_hex(32)}
        connection = {**fields, **ports, "ip": "0.0.0.0"}
        command = [word.replace("{connection_file}", FILE) for word in COMMAND]
        container: str = self._client.create_container(
            self._image, entrypoint=command, labels={"rkp-test": "benchmark"}
        )["Id"]
        self._container = container
        self._client.put_archive(container, "/tmp", _archive("connection.json", json.dumps(connection).encode()))
        self._client.start(container)
        networks = self._client.inspect_container(container)["NetworkSettings"]["Networks"]
        return ConnectionInfo.from_json({**connection, "ip": networks["bridge"]["IPAddress"]})

    async def stop(self) -> None:
        """Remove it."""
        await asyncio.to_thread(lambda: self._client.remove_container(self._container, force=True, v=True))


def _archive(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.uid, info.gid = len(content), 0o600, 1000, 100
        tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


class Ours:
    """Our provider's kernels of one spec.

    Parameters
    ----------
    folder
        A `kernels` folder on the Jupyter path.
    image
        Of the kernels.
    host
        Of the kernels; by default this process's.
    name
        Of the spec.
    """

    def __init__(self, folder: Path, image: str, host: Host | None = None, name: str = "measured") -> None:
        stanza = {
            "class_name": "docker_kernel_provider.DockerLifecycleManager",
            "config": {"image_name": image, "launch_timeout": 120},
        }
        fields = {"display_name": "Python", "language": "python", "argv": list(COMMAND)}
        metadata = {"supported_encryption": ["curve"], "lifecycle_manager": stanza}
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "docker_kernel.json").write_text(json.dumps({**fields, "metadata": metadata}))
        self._provider = DockerKernelProvider(host)
        self._spec, _ = self._provider.find(name)

    async def start(self) -> RemoteKernelManager:
        """Start one, and wait for its first reply."""
        request = ClientRequest(str(uuid.uuid4()), system_identity(), encryption="disabled")
        return await self._provider.start(self._spec, request)


@asynccontextmanager
async def _engine(folder: Path) -> AsyncIterator[tuple[APIClient, Ours, str]]:
    """Have the tests' engine with the project's Python image, and a client of the SDK's and of ours."""
    from docker import APIClient

    sys.path.append(str(ROOT / "tests"))
    from engine.daemon import SharedDaemon
    from engine.python_image import make_python_image

    daemon = SharedDaemon()
    with daemon.in_use():
        os.environ["DOCKER_HOST"] = daemon.host
        client = APIClient(base_url=daemon.host, version="auto", timeout=600, num_pools=CROWD)
        image: str = make_python_image(client)
        yield client, Ours(Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels", image), image
        client.close()


async def _time_and_end(start: Callable[[], Awaitable[Any]], end: Callable[[Any], Awaitable[object]]) -> float:
    """Measure the start alone."""
    started: list[Any] = []

    async def run() -> None:
        started.append(await start())

    seconds = await timed(run)
    await end(started[0])
    return seconds


async def launch(folder: Path, rounds: int = 15) -> list[Row]:
    """From the call to the reply of a kernel_info request of one's own, on all sides.

    The peer's image is the one that the peer's tools make: its host needs its launcher in there, and ours needs none.
    """
    async with _engine(folder) as (client, ours, image):
        from engine.peer_image import make_peer_image

        peer_image: str = await asyncio.to_thread(make_peer_image, client)
        in_peer_image = Ours(Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels", peer_image, name="measured-in-theirs")

        def launching(kernels: Ours) -> Callable[[], Awaitable[float]]:
            return lambda: _time_and_end(kernels.start, lambda manager: manager.kill())

        async def floor() -> float:
            kernel = Floor(client, image)
            return await _time_and_end(kernel.start, lambda _: kernel.stop())

        rows = [await alternate("docker launch to kernel_info reply / SDK alone", launching(ours), floor, 1.10, rounds)]
        async with _peer(folder, client, peer_image) as peer:
            name = "docker launch / gateway_provisioners"
            rows.append(await alternate(name, launching(in_peer_image), peer, 0.50, max(10, rounds // 2)))
        return rows


async def execute(folder: Path, rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel, to its reply."""
    async with _engine(folder) as (client, ours, image):
        manager, floor = await ours.start(), Floor(client, image)
        clients = [_client(connection) for connection in (manager.connection, await floor.start())]
        try:
            for each in clients:
                each.start_channels()
                await each.wait_for_ready(timeout=30)

            def round_trip(each: AsyncKernelClient) -> Callable[[], Awaitable[float]]:
                async def run() -> None:
                    await each.execute("pass", reply=True, timeout=10)

                return lambda: timed(run)

            mine, other = map(round_trip, clients)
            return [await alternate("docker execute round trip / SDK alone", mine, other, 1.05, rounds)]
        finally:
            for each in clients:
                each.stop_channels()
            await manager.kill()
            await floor.stop()


def _client(connection: ConnectionInfo) -> AsyncKernelClient:
    client = AsyncKernelClient()
    client.load_connection_info({**connection.to_json(), "key": connection.key.encode()})  # type: ignore[typeddict-item]
    return client


async def crowd(folder: Path, rounds: int = 10) -> list[Row]:
    """Twenty-four launches at once, to the last reply."""
    async with _engine(folder) as (client, ours, image):

        async def mine() -> float:
            async def end(managers: list[RemoteKernelManager]) -> None:
                await asyncio.gather(*(manager.kill() for manager in managers))

            return await _time_and_end(lambda: asyncio.gather(*(ours.start() for _ in range(CROWD))), end)

        async def floor() -> float:
            kernels = [Floor(client, image) for _ in range(CROWD)]

            async def end(_: object) -> None:
                await asyncio.gather(*(kernel.stop() for kernel in kernels))

            return await _time_and_end(lambda: asyncio.gather(*(kernel.start() for kernel in kernels)), end)

        return [await alternate(f"{CROWD} docker launches at once / SDK alone", mine, floor, 1.15, rounds)]


async def idle(folder: Path) -> list[Row]:
    """What a host asks of the engine, and computes, while twenty-four kernels do nothing."""
    async with _engine(folder) as (_, ours, image):
        with CountingRelay(Path(os.environ["DOCKER_HOST"].removeprefix("unix://")), folder / "relay.sock") as relay:
            os.environ["DOCKER_HOST"] = f"unix://{relay.path}"
            # Another host than the one that knows the engine's own socket.
            ours = Ours(Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels", image, Host(load_settings()))
            kernels = [await ours.start() for _ in range(CROWD)]
            try:
                await asyncio.sleep(3)
                asked, before = relay.bytes_to_engine, _cpu()
                await asyncio.sleep(IDLE_SECONDS)
                percent = 100 * (_cpu() - before) / IDLE_SECONDS
                asked = relay.bytes_to_engine - asked
            finally:
                await asyncio.gather(*(kernel.kill() for kernel in kernels))
        name = f"{CROWD} docker kernels idle for {IDLE_SECONDS:g} s"
        return [
            Row(f"{name}: the host's processor", percent, None, 0.5, 1),
            Row(f"{name}: bytes to the engine", float(asked), None, 0, 1, unit="B"),
        ]


def _cpu() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


@asynccontextmanager
async def _peer(folder: Path, client: APIClient, image: str) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """Have a host of gateway_provisioners in an environment of its own, which launches whenever it is asked."""
    python = await asyncio.to_thread(_peer_python)
    install = ["-m", "gateway_provisioners.cli.docker_specapp", "install", "--prefix", str(folder / "peer")]
    options = ["--kernel-name", "measured", "--image-name", image]
    await asyncio.to_thread(lambda: subprocess.run([python, *install, *options], check=True, capture_output=True))
    gateway = client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-I",  # this folder has a docker.py
        str(Path(__file__).with_name("gateway_provisioners_host.py")),
        str(folder / "peer/share/jupyter/kernels"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "GP_RESPONSE_IP": gateway,
            "KERNEL_USERNAME": "someone",
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def measure() -> float:
        process.send_signal(signal.SIGCONT)
        stdin.write(b"\n")
        try:
            return float(await stdout.readline())
        finally:
            process.send_signal(signal.SIGSTOP)  # it has a loop that never rests, which others would pay for

    try:
        yield measure
    finally:
        process.send_signal(signal.SIGCONT)
        stdin.close()
        await process.wait()


def _peer_python() -> Path:
    """Return the Python of an environment that holds the peer, made once."""
    folder = ROOT / ".cache" / "gateway-provisioners-{}.{}".format(*sys.version_info)
    python = folder / "bin/python"
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != PEER:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        complete.write_text(PEER)
    return python
