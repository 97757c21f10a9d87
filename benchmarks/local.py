"""The local provider against jupyter_client's own local kernels."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from benchmarks.kernels import end_all, environment, processor_seconds, round_trips, time_and_end
from benchmarks.measuring import Measurement, Row, alternate, timed
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

    def ours(encryption: str) -> Measurement:
        return lambda: time_and_end(lambda: _start_ours(encryption), lambda manager: manager.kill())

    async def theirs() -> float:
        return await time_and_end(_start_theirs, lambda manager: manager.shutdown_kernel(now=True))

    return [
        await alternate("launch to kernel_info reply / jupyter_client", ours("disabled"), theirs, 1.10, rounds),
        await alternate("the same, ours with CURVE", ours("auto"), theirs, 1.10, rounds),
    ]


async def execute(rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel, to its reply."""
    ours, theirs = await _start_ours(), await _start_theirs()
    try:
        other = ConnectionInfo.from_json(theirs.get_connection_info())
        return [await round_trips("execute round trip / jupyter_client", ours.connection, other, rounds)]
    finally:
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
    known = LocalKernelProvider()

    async def first() -> None:
        assert len(list(LocalKernelProvider().find_kernels())) >= SPECS

    async def again() -> None:
        assert len(list(known.find_kernels())) >= SPECS

    async def theirs() -> None:
        assert len(KernelSpecManager().get_all_specs()) >= SPECS

    def stock() -> Awaitable[float]:
        return timed(theirs)

    with environment(JUPYTER_PATH=str(folder)):
        name = f"list {SPECS} specs, the first time / get_all_specs"
        rows = [await alternate(name, lambda: timed(first), stock, 1.0, rounds)]
        name = f"list {SPECS} specs, again / get_all_specs"
        return [*rows, await alternate(name, lambda: timed(again), stock, 0.1, rounds)]


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
        used = processor_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        percent = 100 * (processor_seconds() - used) / IDLE_SECONDS
        return [
            Row(f"{IDLE_KERNELS} kernels idle: the host's processor", percent, None, 0.5, 1),
            Row(f"{IDLE_KERNELS} kernels idle: timers of ours", float(timers), None, 0, 1, unit=""),
        ]
    finally:
        await end_all(kernels)


async def _timers() -> int:
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not timer.cancelled() for timer in scheduled)
