"""What the measurements of several backends share: kernels of ours, and clients of a kernel."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient

from benchmarks.measuring import Measurement, Row, alternate, timed
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.launch import ProgressCallback
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.provider import RemoteKernelProvider

COMMAND = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")


class Ours:
    """Our provider's kernels of one spec.

    Parameters
    ----------
    provider
        Of the backend.
    config
        Of the spec.
    name
        Of the spec.
    command
        Of the kernels.
    """

    def __init__(
        self,
        provider: RemoteKernelProvider,
        config: Mapping[str, Any],
        name: str = "measured",
        command: Sequence[str] = COMMAND,
    ) -> None:
        folder = Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / name
        stanza = {"class_name": provider.default_lifecycle, "config": {"launch_timeout": 120, **config}}
        metadata = {"supported_encryption": ["curve"], "lifecycle_manager": stanza}
        fields = {"display_name": "Python", "language": "python", "argv": list(command), "metadata": metadata}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / provider.kernel_file).write_text(json.dumps(fields))
        self.provider = provider
        self.spec, _ = provider.find(name)

    async def start(self, progress: ProgressCallback | None = None) -> RemoteKernelManager:
        """Start one, and wait for its first reply."""
        return await self.provider.start(self.spec, self.request(), progress=progress)

    async def measure(self) -> float:
        """Measure the start of one, and end it."""
        return await time_and_end(self.start, lambda manager: manager.kill())

    def request(self) -> ClientRequest:
        """Ask for another one."""
        return ClientRequest(str(uuid.uuid4()), system_identity(), encryption="disabled")


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Have some variables in this process's environment while the body runs."""
    before = dict(os.environ)
    os.environ |= variables
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


async def time_and_end(start: Callable[[], Awaitable[Any]], end: Callable[[Any], Awaitable[object]]) -> float:
    """Measure the start alone."""
    started: list[Any] = []

    async def run() -> None:
        started.append(await start())

    seconds = await timed(run)
    await end(started[0])
    return seconds


async def connect(connection: ConnectionInfo) -> AsyncKernelClient:
    """Return a client of Jupyter's with all channels open, when the kernel has answered it."""
    client = AsyncKernelClient()
    client.load_connection_info({**connection.to_json(), "key": connection.key.encode()})  # type: ignore[typeddict-item]
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    return client


async def round_trips(name: str, ours: ConnectionInfo, theirs: ConnectionInfo, rounds: int) -> Row:
    """Measure one `pass` to its reply, over a kernel of ours and another."""
    clients = [await connect(connection) for connection in (ours, theirs)]

    def round_trip(client: AsyncKernelClient) -> Measurement:
        async def run() -> None:
            await client.execute("pass", reply=True, timeout=10)

        return lambda: timed(run)

    try:
        mine, other = map(round_trip, clients)
        return await alternate(name, mine, other, 1.05, rounds)
    finally:
        for client in clients:
            client.stop_channels()


def processor_seconds(pid: int | None = None) -> float:
    """Return the processor time that a process has used, by default this one."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def end_all(kernels: Iterable[RemoteKernelManager]) -> None:
    """End kernels of ours."""
    await asyncio.gather(*(kernel.kill() for kernel in kernels))
