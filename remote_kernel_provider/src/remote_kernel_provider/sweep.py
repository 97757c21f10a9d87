"""Removing what dead hosts left, with proof that they are dead."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.owner import OwnerSelector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orphan:
    """A kernel whose host is proven dead.

    Parameters
    ----------
    resource
        The kernel.
    dead_since
        Unix time of the first look at its dead host.
    adoptable
        Whether its host is a server that may still come back for it.
    """

    resource: KernelResource
    dead_since: float
    adoptable: bool


async def find_orphans(host: Host, lifecycles: Iterable[LifecycleManager]) -> list[Orphan]:
    """List the kernels of this user's dead hosts; on the private loop."""
    orphans = []
    for lifecycle in lifecycles:
        for resource in await lifecycle.find(OwnerSelector(host_id=host.identity.host_id)):
            since = await asyncio.to_thread(host.identity.dead_since, resource.owner)
            if since is not None:
                waits = resource.owner.returns and time.time() - since < host.settings.sweep_servers_after
                orphans.append(Orphan(resource, since, waits))
    return orphans


async def sweep_dead(host: Host) -> None:
    """Delete what nobody can adopt any more; a failure costs one warning."""
    # Only backends that this process uses: a sweep must not make a client of its own.
    try:
        for orphan in await find_orphans(host, host.active_lifecycles()):
            if not orphan.adoptable:
                await _try_to_delete(host, orphan)
    except (RemoteKernelError, OSError) as error:
        log.warning("The kernels that dead hosts left could not be looked for: %s", error)


async def _try_to_delete(host: Host, orphan: Orphan) -> None:
    """Delete an orphan; one that cannot be deleted stands in nobody's way."""
    try:
        await delete_orphan(host, orphan)
    except (RemoteKernelError, OSError) as error:
        log.warning("Kernel %s of a dead host could not be swept: %s", orphan.resource.kernel_id, error)


async def delete_orphan(host: Host, orphan: Orphan) -> None:
    """Delete one kernel that a dead host left."""
    resource = orphan.resource
    await host.lifecycle(resource.lifecycle).delete(resource, 0)
    if not resource.owner.returns:
        host.identity.forget(resource.owner.instance)
    log.info("Swept kernel %s (%s), left by a dead host.", resource.kernel_id, resource.kernel_name)
