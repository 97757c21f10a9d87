"""The local provider against jupyter_client's own local kernels."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from benchmarks.measuring import Row, alternate, timed
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.connection.reported import ResponseServer
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP

SPECS = 1000
IDLE_KERNELS = 50
IDLE_SECONDS = 30.0


async def _start_ours(encryption: str = "disabled") -> RemoteKernelManager:
    provider = LocalKernelProvider()
    spec, _ = provider.find("python3")
    return await provider.start(spec, ClientRequest(str(uuid.uuid4()), system_identity(), encryption=encryption))


async def _start_theirs() -> AsyncKernelManager:
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel()
    channels = KernelChannels(ConnectionInfo.from_json(manager.get_connection_info()))
    await channels.until_open()
    await channels.kernel_info()
    return manager


async def launch(rounds: int = 20) -> list[Row]:
    """From the call to the reply of a kernel_info request on a socket of our own, on both sides."""

    def ours(encryption: str) -> Callable[[], Any]:
        async def measure() -> float:
            started: list[RemoteKernelManager] = []

            async def start() -> None:
                started.append(await _start_ours(encryption))

            seconds = await timed(start)
            await started[0].kill()
            return seconds

        return measure

    async def theirs() -> float:
        started: list[AsyncKernelManager] = []

        async def start() -> None:
            started.append(await _start_theirs())

        seconds = await timed(start)
        await started[0].shutdown_kernel(now=True)
        return seconds

    return [
        await alternate("launch to kernel_info reply / jupyter_client", ours("disabled"), theirs, 1.10, rounds),
        await alternate("the same, ours with CURVE", ours("auto"), theirs, 1.10, rounds),
    ]


async def execute(rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel, to its reply."""
    ours, theirs = await _start_ours(), await _start_theirs()
    mine = AsyncKernelClient()
    mine.load_connection_info({**ours.connection.to_json(), "key": ours.connection.key.encode()})  # type: ignore[typeddict-item]
    other = theirs.client()
    try:
        for client in (mine, other):
            client.start_channels()
            await client.wait_for_ready(timeout=30)

        def round_trip(client: AsyncKernelClient) -> Callable[[], Any]:
            async def run() -> None:
                await client.execute("pass", reply=True, timeout=10)

            return lambda: timed(run)

        return [
            await alternate("execute round trip / jupyter_client", round_trip(mine), round_trip(other), 1.05, rounds)
        ]
    finally:
        mine.stop_channels()
        other.stop_channels()
        await ours.kill()
        await theirs.shutdown_kernel(now=True)


async def listing(folder: Path, rounds: int = 15) -> list[Row]:
    """A thousand specs: the first time, and again."""
    fields = {"display_name": "Python", "language": "python", "argv": ["python", "-m", "ipykernel_launcher", "-f"]}
    lifecycle = {"class_name": "remote_kernel_provider.LocalLifecycleManager", "config": {"launch_timeout": 40}}
    for number in range(SPECS):
        spec = folder / "kernels" / f"kernel{number}"
        spec.mkdir(parents=True)
        (spec / "kernel.json").write_text(json.dumps({**fields, "metadata": {}}))
        (spec / "local_kernel.json").write_text(json.dumps({**fields, "metadata": {"lifecycle_manager": lifecycle}}))
    os.environ["JUPYTER_PATH"] = str(folder)
    known = LocalKernelProvider()

    async def first() -> None:
        assert len(list(LocalKernelProvider().find_kernels())) >= SPECS

    async def again() -> None:
        assert len(list(known.find_kernels())) >= SPECS

    async def theirs() -> None:
        assert len(KernelSpecManager().get_all_specs()) >= SPECS

    return [
        await alternate(
            f"list {SPECS} specs, the first time / get_all_specs",
            lambda: timed(first),
            lambda: timed(theirs),
            1.0,
            rounds,
        ),
        await alternate(
            f"list {SPECS} specs, again / get_all_specs", lambda: timed(again), lambda: timed(theirs), 0.1, rounds
        ),
    ]


async def waiting_response_server(rounds: int = 40, messages: int = 200) -> list[Row]:
    """An echo on the private loop, with and without a response server that waits there."""

    async def echo_server() -> tuple[asyncio.Server, int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]

    async def measure(waits: bool) -> float:
        server, port = await echo_server()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        responses = ResponseServer()

        async def echoes() -> None:
            for _ in range(messages):
                writer.write(b"x\n")
                await reader.readline()

        try:
            if not waits:
                return await timed(echoes)
            async with responses.expect("kernel", "127.0.0.1"):
                return await timed(echoes)
        finally:
            await responses.close()
            writer.close()
            server.close()

    async def with_server() -> float:
        return await PRIVATE_LOOP.call(measure(True))

    async def without() -> float:
        return await PRIVATE_LOOP.call(measure(False))

    name = f"{messages} echoes, a response server waiting / without"
    return [await alternate(name, with_server, without, 1.02, rounds)]


async def idle() -> list[Row]:
    """Processor time of the host, per cent of one core, while fifty kernels do nothing."""
    kernels: list[RemoteKernelManager] = []
    for _ in range(IDLE_KERNELS // 5):
        kernels += await asyncio.gather(*(_start_ours() for _ in range(5)))
    try:
        await asyncio.sleep(3)
        timers = await PRIVATE_LOOP.call(_timers())
        process = psutil.Process()
        before = process.cpu_times()
        await asyncio.sleep(IDLE_SECONDS)
        after = process.cpu_times()
        used = (after.user + after.system) - (before.user + before.system)
        percent = 100 * used / IDLE_SECONDS
        return [
            Row(f"{IDLE_KERNELS} kernels idle: the host's processor", percent, None, 0.5, 1),
            Row(f"{IDLE_KERNELS} kernels idle: timers of ours (count, not %)", float(timers), None, 0, 1),
        ]
    finally:
        await asyncio.gather(*(kernel.kill() for kernel in kernels))


async def _timers() -> int:
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not timer.cancelled() for timer in scheduled)
