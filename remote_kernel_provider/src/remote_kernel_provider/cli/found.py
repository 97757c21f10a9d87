"""The running kernels that the backends find, and which of them a user means by an id."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from remote_kernel_provider.cli.failures import UsageError
from remote_kernel_provider.cli.rendering import shortened
from remote_kernel_provider.host import current_host
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.running import FoundKernel, find_running

log = logging.getLogger(__name__)


def kernels_of_user(*, all_owners: bool = False) -> list[FoundKernel]:
    """List the running kernels of this user, or of everybody, the oldest first."""
    found, problems = PRIVATE_LOOP.run(_find(all_owners))
    for problem in problems:
        log.warning("%s", problem)
    return found


async def _find(all_owners: bool) -> tuple[list[FoundKernel], list[str]]:
    host = current_host()
    selector = OwnerSelector() if all_owners else OwnerSelector(host_id=host.identity.host_id)
    return await find_running(host.lifecycles(), selector)


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
