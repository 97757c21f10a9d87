"""The running kernels that the backends find, and whether the programs live that launched them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.files import safe_name
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus, LifecycleManager
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import within

T = TypeVar("T")

FIND_DEADLINE = 5.0
"""Seconds that a backend has to answer somebody who waits for the answer of all."""


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


async def find_running(
    lifecycles: Mapping[str, LifecycleManager],
    selector: OwnerSelector,
    deadline: float | None = None,
) -> tuple[list[FoundKernel], list[str]]:
    """List the running kernels of some owners, the oldest first; on the private loop.

    Returns
    -------
    tuple
        The kernels, and a sentence for each backend that could not say which it has.
    """

    async def ask(lifecycle: LifecycleManager) -> list[FoundKernel]:
        resources = await lifecycle.find(selector)
        return await asyncio.gather(*(look(lifecycle, resource) for resource in resources))

    found, problems = await ask_all(lifecycles, ask, deadline)
    return sorted(found, key=lambda kernel: kernel.resource.created), problems


async def ask_all(
    lifecycles: Mapping[str, LifecycleManager],
    ask: Callable[[LifecycleManager], Awaitable[list[T]]],
    deadline: float | None = None,
) -> tuple[list[T], list[str]]:
    """Ask all backends at once; one that cannot be reached must not hide what the others say.

    Returns
    -------
    tuple
        All answers, and a sentence for each backend that gave none, and for where another could not look.
    """

    async def answer(name: str, lifecycle: LifecycleManager) -> tuple[list[T], Sequence[str]]:
        try:
            return await within(deadline, ask(lifecycle)), lifecycle.unseen()
        except asyncio.TimeoutError:
            return [], [f"The kernels of '{name}' cannot be listed: it did not answer within {deadline:g} s"]
        except (RemoteKernelError, OSError) as error:
            return [], [f"The kernels of '{name}' cannot be listed: {error}"]

    answers = await asyncio.gather(*(answer(name, lifecycle) for name, lifecycle in lifecycles.items()))
    return [each for found, _ in answers for each in found], [each for _, problems in answers for each in problems]


async def look(lifecycle: LifecycleManager, resource: KernelResource) -> FoundKernel:
    """Ask a backend for the status of a kernel that it found; on the private loop."""
    status, state = await asyncio.gather(lifecycle.status(resource), lifecycle.host_state(resource))
    return FoundKernel(resource, status, state.word)


async def stop(host: Host, resources: Collection[KernelResource]) -> None:
    """End kernels, whoever launched them, and remove all that is left of them; on the private loop."""
    grace = host.settings.delete_grace
    await asyncio.gather(*(host.lifecycle(resource.lifecycle).delete(resource, grace) for resource in resources))
    for resource in resources:
        connection_file(resource.kernel_id).unlink(missing_ok=True)


def connection_file(kernel_id: str) -> Path:
    """Return where the connection file of a kernel is, so that `jupyter console --existing` finds it."""
    return Path(jupyter_runtime_dir()) / f"kernel-{safe_name(kernel_id)}.json"
