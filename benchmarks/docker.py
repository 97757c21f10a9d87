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
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kernels import COMMAND, Ours, end_all, processor_seconds, round_trips, time_and_end
from benchmarks.measuring import Row, alternate
from benchmarks.peer import ROOT, peer_host
from benchmarks.relay import CountingRelay
from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.host import Host

if TYPE_CHECKING:
    from docker import APIClient

CROWD = 24
IDLE_SECONDS = 60.0
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


def _ours(image: str, host: Host | None = None, name: str = "measured") -> Ours:
    return Ours(DockerKernelProvider(host), {"image_name": image}, name)


@asynccontextmanager
async def _engine() -> AsyncIterator[tuple[APIClient, Ours, str]]:
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
        yield client, _ours(image), image
        client.close()


async def launch(folder: Path, rounds: int = 15) -> list[Row]:
    """From the call to the reply of a kernel_info request of one's own, on all sides.

    The peer's image is the one that the peer's tools make: its host needs its launcher in there, and ours needs none.
    """
    async with _engine() as (client, ours, image):
        from engine.peer_image import make_peer_image

        peer_image: str = await asyncio.to_thread(make_peer_image, client)
        in_peer_image = _ours(peer_image, name="measured-in-theirs")

        async def floor() -> float:
            kernel = Floor(client, image)
            return await time_and_end(kernel.start, lambda _: kernel.stop())

        rows = [await alternate("docker launch to kernel_info reply / SDK alone", ours.measure, floor, 1.10, rounds)]
        gateway = client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
        async with peer_host(folder / "peer", "docker_specapp", peer_image, {"GP_RESPONSE_IP": gateway}) as peer:
            name = "docker launch / gateway_provisioners"
            rows.append(await alternate(name, in_peer_image.measure, peer, 0.50, max(10, rounds // 2)))
        return rows


async def execute(rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel, to its reply."""
    async with _engine() as (client, ours, image):
        manager, floor = await ours.start(), Floor(client, image)
        try:
            name = "docker execute round trip / SDK alone"
            return [await round_trips(name, manager.connection, await floor.start(), rounds)]
        finally:
            await manager.kill()
            await floor.stop()


async def crowd(rounds: int = 10) -> list[Row]:
    """Twenty-four launches at once, to the last reply."""
    async with _engine() as (client, ours, image):

        async def mine() -> float:
            return await time_and_end(lambda: asyncio.gather(*(ours.start() for _ in range(CROWD))), end_all)

        async def floor() -> float:
            kernels = [Floor(client, image) for _ in range(CROWD)]

            async def end(_: object) -> None:
                await asyncio.gather(*(kernel.stop() for kernel in kernels))

            return await time_and_end(lambda: asyncio.gather(*(kernel.start() for kernel in kernels)), end)

        return [await alternate(f"{CROWD} docker launches at once / SDK alone", mine, floor, 1.15, rounds)]


async def idle(folder: Path) -> list[Row]:
    """What a host asks of the engine, and computes, while twenty-four kernels do nothing."""
    async with _engine() as (_, ours, image):
        with CountingRelay(Path(os.environ["DOCKER_HOST"].removeprefix("unix://")), folder / "relay.sock") as relay:
            os.environ["DOCKER_HOST"] = f"unix://{relay.path}"
            # Another host than the one that knows the engine's own socket.
            ours = _ours(image, Host(load_settings()))
            kernels = [await ours.start() for _ in range(CROWD)]
            try:
                await asyncio.sleep(3)
                asked, before = relay.bytes_to_engine, processor_seconds()
                await asyncio.sleep(IDLE_SECONDS)
                percent = 100 * (processor_seconds() - before) / IDLE_SECONDS
                asked = relay.bytes_to_engine - asked
            finally:
                await end_all(kernels)
        name = f"{CROWD} docker kernels idle for {IDLE_SECONDS:g} s"
        return [
            Row(f"{name}: the host's processor", percent, None, 0.5, 1),
            Row(f"{name}: bytes to the engine", float(asked), None, 0, 1, unit="B"),
        ]
