"""A thousand kernels of one host, as plain API objects: listed, watched and swept, beside a hundred of another."""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.kernels import environment
from benchmarks.kubernetes import Bench, on_the_cluster
from benchmarks.measuring import Measurement, Row, alternate, timed
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task
from remote_kernel_provider.sweep import sweep_dead

if TYPE_CHECKING:
    from cluster.phantoms import Phantoms

FEW, MANY = 100, 1000
CHANGES = 500


async def scale(folder: Path, rounds: int = 3) -> list[Row]:
    """What kernels cost as they become more."""
    async with on_the_cluster() as bench:
        from cluster.phantoms import Phantoms

        few, many = [await _make(Phantoms, bench, folder / str(count), count) for count in (FEW, MANY)]
        listed = statistics.median([await timed(lambda: _list(many[0], MANY)) for _ in range(rounds)])
        rows = [Row(f"kubernetes: list {MANY} kernels", listed, None, 2.0, rounds, unit="s")]
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
            async with _followed(bench, *few, elsewhere) as of_few, _followed(bench, *many, elsewhere) as of_many:
                name = f"kubernetes: the host's work per change, {MANY} / {FEW} kernels"
                rows.append(await alternate(name, of_many, of_few, 1.2, rounds))
        seconds = [await _sweep(*each, folder / str(count)) for each, count in ((few, FEW), (many, MANY))]
        name = f"kubernetes: sweep per kernel, of {MANY} / of {FEW}"
        return [*rows, Row(name, seconds[1] / MANY, seconds[0] / FEW, 1.2, 1)]


async def _make(make: type[Phantoms], bench: Bench, folder: Path, count: int) -> tuple[Host, Phantoms]:
    host = _host(folder)
    phantoms = make(host, folder / "kernels", bench.cluster.kubeconfig, bench.namespace)
    await phantoms.make(count)
    return host, phantoms


def _host(folder: Path) -> Host:
    with environment(RKP_DATA_FOLDER=str(folder / "data")):
        return Host(load_settings())


async def _list(host: Host, count: int) -> None:
    found = await PRIVATE_LOOP.call(host.lifecycle(KUBERNETES).find(OwnerSelector(host_id=host.identity.host_id)))
    assert len(found) == count


@asynccontextmanager
async def _followed(
    bench: Bench, host: Host, phantoms: Phantoms, elsewhere: ProcessPoolExecutor
) -> AsyncIterator[Measurement]:
    """Follow every kernel; measure the processor time per change while another process makes changes."""
    from cluster.phantoms import let_run

    told = 0

    async def follow(resource: KernelResource) -> None:
        nonlocal told
        async for _ in host.lifecycle(KUBERNETES).watch(resource):
            told += 1

    async def follow_all() -> list[asyncio.Task[None]]:
        return [asyncio.get_running_loop().create_task(follow(resource)) for resource in phantoms.resources]

    async def until(count: int) -> None:
        deadline = time.monotonic() + 60
        while told < count:
            assert time.monotonic() < deadline, f"of {count} changes {told} were told"
            await asyncio.sleep(0.05)

    async def measure() -> float:
        expected = told + CHANGES
        used = time.process_time()
        place = (bench.cluster.kubeconfig, bench.namespace)
        await asyncio.wrap_future(elsewhere.submit(let_run, *place, phantoms.names, CHANGES))
        await until(expected)
        return (time.process_time() - used) / CHANGES

    followers = await PRIVATE_LOOP.call(follow_all())
    await until(len(phantoms.resources))
    try:
        yield measure
    finally:
        await PRIVATE_LOOP.call(_end(followers))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        await end_task(task)


async def _sweep(host: Host, phantoms: Phantoms, folder: Path) -> float:
    """Let another host of the same user remove what this one leaves; return the seconds."""
    await PRIVATE_LOOP.call(host.close())
    successor = _host(folder)
    successor.lifecycle(KUBERNETES)  # only a backend that is used is swept
    try:
        seconds = await timed(lambda: PRIVATE_LOOP.call(sweep_dead(successor)))
        await _list(successor, 0)
        return seconds
    finally:
        await PRIVATE_LOOP.call(successor.close())
