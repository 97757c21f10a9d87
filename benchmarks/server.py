"""Jupyter Server with our extension against the same server without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import serving
from benchmarks.kernels import processor_seconds
from benchmarks.measuring import Row, alternate, timed
from benchmarks.serving import Server, add_specs
from remote_kernel_provider.kernelspecs.stock import stanza_for

SPECS = 1000
EXTENSION = "remote_kernel_provider.jupyter.server"
IDLE_KERNELS = 50
IDLE_SECONDS = 30.0


@asynccontextmanager
async def serve(folder: Path, *, with_extension: bool) -> AsyncIterator[Server]:
    """Run a server of the home in a folder, with our extension or without."""
    config = folder / ("ours" if with_extension else "stock")
    config.mkdir(parents=True, exist_ok=True)
    enabled = {"jpserver_extensions": {EXTENSION: with_extension}}
    (config / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": enabled}))
    environment = {"JUPYTER_CONFIG_DIR": str(config)}
    async with serving.serve(folder, serving.free_port(), environment, config / "server.log") as server:
        yield server


async def listing(folder: Path, rounds: int = 9) -> list[Row]:
    """A thousand specs, every other one of ours, as a browser asks for them."""
    fields = {"display_name": "Python", "language": "python", "argv": ["python", "-m", "ipykernel_launcher", "-f"]}
    for number in range(SPECS):
        spec = folder / "kernels" / f"kernel{number}"
        spec.mkdir(parents=True)
        metadata = {}
        if number % 2:
            metadata = {"kernel_provisioner": stanza_for(f"local/kernel{number}")}
            (spec / "local_kernel.json").write_text(json.dumps(fields))
        (spec / "kernel.json").write_text(json.dumps({**fields, "metadata": metadata}))

    def asking(server: Server) -> Callable[[], Awaitable[float]]:
        async def ask() -> None:
            listed = await asyncio.to_thread(server.get, "api/kernelspecs")
            assert len(listed["kernelspecs"]) >= SPECS

        return lambda: timed(ask)

    async with serve(folder, with_extension=True) as ours, serve(folder, with_extension=False) as theirs:
        name = f"list {SPECS} specs through the server / without extension"
        return [await alternate(name, asking(ours), asking(theirs), 1.10, rounds)]


async def start(folder: Path, rounds: int = 10) -> list[Row]:
    """From the POST until a client is connected, for one command as an ordinary kernel and as one of ours."""
    add_specs(folder, "plain", "ipykernel_launcher")

    def starting(server: Server, name: str) -> Callable[[], Awaitable[float]]:
        async def measure() -> float:
            started: list[str] = []

            async def work() -> None:
                started.append(await server.start(name))

            seconds = await timed(work)
            await server.end(started[0])
            return seconds

        return measure

    async with serve(folder, with_extension=True) as server:
        ours, theirs = starting(server, "remote-plain"), starting(server, "plain")
        return [await alternate("POST to connected / the server's own kernel", ours, theirs, 1.10, rounds)]


async def idle(folder: Path) -> list[Row]:
    """Processor time of the server, per cent of one core, that fifty kernels of ours which do nothing add."""
    add_specs(folder, "tiny", "remote_kernel_provider.testing.tiny_kernel")

    async def percent(server: Server) -> float:
        used = processor_seconds(server.pid)
        await asyncio.sleep(IDLE_SECONDS)
        return 100 * (processor_seconds(server.pid) - used) / IDLE_SECONDS

    async with serve(folder, with_extension=True) as server:
        await server.end(await server.start("remote-tiny"))
        await asyncio.sleep(5)
        alone = await percent(server)
        for _ in range(IDLE_KERNELS // 5):
            await asyncio.gather(*(server.start("remote-tiny") for _ in range(5)))
        await asyncio.sleep(5)
        with_kernels = await percent(server)
        return [
            Row("the server without kernels: its processor", alone, None, 0.5, 1),
            Row(f"{IDLE_KERNELS} remote kernels idle: the server's processor", with_kernels, None, 0.5, 1),
        ]
