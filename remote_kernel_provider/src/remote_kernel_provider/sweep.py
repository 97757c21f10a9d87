"""Removing what dead hosts left, with proof that they are dead."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.owner import OwnerSelector

log = logging.getLogger(__name__)

AT_A_TIME = 16
"""Kernels that are asked for or deleted at a time."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Orphan:
    """A kernel whose host is proven dead.

    Parameters
    ----------
    resource
        The kernel.
    dead_since
        Unix time from which on its host is known to be dead.
    adoptable
        Whether its host is a server that may still come back for it.
    """

    resource: KernelResource
    dead_since: float
    adoptable: bool


async def find_orphans(host: Host, lifecycles: Iterable[LifecycleManager]) -> list[Orphan]:
    """List the kernels of dead hosts, this user's and those that their backend proves dead; on the private loop."""
    orphans = []
    for lifecycle in lifecycles:
        own = await lifecycle.find(OwnerSelector(host_id=host.identity.host_id))
        found = {resource.generation: resource for resource in [*await lifecycle.find_abandoned(), *own]}
        states = await in_order(lifecycle.host_state, found.values())
        for resource, state in zip(found.values(), states, strict=True):
            if state.dead_since is not None:
                waits = resource.owner.returns and time.time() - state.dead_since < host.settings.sweep_servers_after
                orphans.append(Orphan(resource, state.dead_since, waits))
    return orphans


async def sweep_dead(host: Host) -> None:
    """Delete what nobody can adopt any more; a failure costs one warning."""
    # Only backends that this process uses: a sweep must not make a client of its own.
    lifecycles = host.active_lifecycles()
    try:
        orphans = [orphan for orphan in await find_orphans(host, lifecycles) if not orphan.adoptable]
        for orphan, error in zip(orphans, await delete_orphans(host, orphans), strict=True):
            if error is not None:
                log.warning("Kernel %s of a dead host could not be swept: %s", orphan.resource.kernel_id, error)
        for lifecycle in lifecycles:
            # Asked for kind by kind: where no host has died, only if somebody says so, by the command.
            if any(orphan.resource.lifecycle == lifecycle.name for orphan in orphans):
                await lifecycle.clear(dry_run=False)
    except (RemoteKernelError, OSError) as error:
        log.warning("The kernels that dead hosts left could not be looked for: %s", error)


async def delete_orphans(host: Host, orphans: Sequence[Orphan]) -> list[Exception | None]:
    """Delete kernels that dead hosts left; one that cannot be deleted stands in nobody's way.

    Returns
    -------
    list
        For each orphan what went wrong with it.
    """

    async def delete(orphan: Orphan) -> Exception | None:
        try:
            await delete_orphan(host, orphan)
        except (RemoteKernelError, OSError) as error:
            return error
        return None

    return await in_order(delete, orphans)


async def in_order(do: Callable[[T], Awaitable[R]], items: Collection[T]) -> list[R]:
    """Do something with each of many items, a bounded number of them at a time; the results are in their order."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(item: T) -> R:
        async with turns:
            return await do(item)

    return await asyncio.gather(*map(one, items))


async def delete_orphan(host: Host, orphan: Orphan) -> None:
    """Delete one kernel that a dead host left."""
    resource = orphan.resource
    await host.lifecycle(resource.lifecycle).delete(resource, 0)
    if not resource.owner.returns:
        host.identity.forget(resource.owner.instance)
    log.info("Swept kernel %s (%s), left by a dead host.", resource.kernel_id, resource.kernel_name)
