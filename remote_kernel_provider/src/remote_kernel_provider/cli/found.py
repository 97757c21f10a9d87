"""The running kernels that the backends find, and which of them a user means by an id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernel_provider.cli.failures import UsageError
from remote_kernel_provider.cli.rendering import shortened
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host, current_host
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus, LifecycleManager
from remote_kernel_provider.owner import DETACHED, OwnerSelector
from remote_kernel_provider.private_loop import PRIVATE_LOOP

log = logging.getLogger(__name__)

ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"


@dataclass(frozen=True)
class FoundKernel:
    """A kernel that a backend found.

    Parameters
    ----------
    resource
        Its handle.
    status
        What the backend says of it.
    host
        Whether the program that launched it is `alive` or `dead`, whether the kernel is `detached` from any, or
        `unknown` where nobody here can tell.
    """

    resource: KernelResource
    status: KernelStatus
    host: str


def kernels_of_user(*, all_owners: bool = False) -> list[FoundKernel]:
    """List the running kernels of this user, or of everybody, the oldest first."""
    return PRIVATE_LOOP.run(_find(all_owners))


async def _find(all_owners: bool) -> list[FoundKernel]:
    host = current_host()
    selector = OwnerSelector() if all_owners else OwnerSelector(host_id=host.identity.host_id)
    found: list[FoundKernel] = []
    for name, lifecycle in host.lifecycles().items():
        try:
            resources = await lifecycle.find(selector)
            found += await asyncio.gather(*(_look(host, lifecycle, resource) for resource in resources))
        except (RemoteKernelError, OSError) as error:
            # One backend that cannot be reached must not hide the others' kernels.
            log.warning("The kernels of '%s' cannot be listed: %s", name, error)
    return sorted(found, key=lambda kernel: kernel.resource.created)


async def _look(host: Host, lifecycle: LifecycleManager, resource: KernelResource) -> FoundKernel:
    status = await lifecycle.status(resource)
    return FoundKernel(resource, status, await asyncio.to_thread(host_state, host, resource))


def host_state(host: Host, resource: KernelResource) -> str:
    """Return `alive`, `dead`, `detached` or `unknown`."""
    if resource.owner.instance == DETACHED:
        return DETACHED
    if resource.owner.host_id != host.identity.host_id:
        return UNKNOWN
    return ALIVE if host.identity.dead_since(resource.owner) is None else DEAD


def kernel_of_id(identifier: str, kernels: Sequence[FoundKernel]) -> FoundKernel:
    """Return the kernel whose id is or begins with a text; the backend's own id does too.

    Raises
    ------
    UsageError
        When there is none, or more than one.
    """
    exact = [kernel for kernel in kernels if identifier in (kernel.resource.kernel_id, kernel.resource.id)]
    found = exact or [
        kernel
        for kernel in kernels
        if identifier
        and (kernel.resource.kernel_id.startswith(identifier) or kernel.resource.id.startswith(identifier))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        same = len({kernel.resource.kernel_id for kernel in found}) < len(found)
        names = ", ".join(
            f"{kernel.resource.id if same else kernel.resource.kernel_id} ({kernel.resource.kernel_name})"
            for kernel in found
        )
        raise UsageError(f"the id '{identifier}' is ambiguous: {names}; give more of it")
    known = ", ".join(short_ids(kernels)) or "none"
    raise UsageError(f"there is no kernel with the id '{identifier}'; the running kernels are: {known}")


def short_ids(kernels: Sequence[FoundKernel]) -> list[str]:
    """Return the kernels' ids, as short as they can be told apart."""
    identifiers = [kernel.resource.kernel_id for kernel in kernels]
    return [shortened(identifier, identifiers) for identifier in identifiers]


def kernel_json(kernel: FoundKernel) -> dict[str, Any]:
    """Return what `--json` shows of a kernel."""
    resource, status = kernel.resource, kernel.status
    return {
        "id": resource.kernel_id,
        "name": resource.kernel_name,
        "user": resource.owner.user,
        "phase": status.phase.value,
        "reason": status.reason,
        "message": status.message,
        "started": resource.created,
        "host": kernel.host,
        "instance": resource.owner.instance,
        "where": resource.lifecycle,
        "backend_id": resource.id,
    }


def connection_file(kernel_id: str) -> Path:
    """Return where the connection file of a detached kernel is, so that `jupyter console --existing` finds it."""
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in kernel_id)
    return Path(jupyter_runtime_dir()) / f"kernel-{safe[:120]}.json"
