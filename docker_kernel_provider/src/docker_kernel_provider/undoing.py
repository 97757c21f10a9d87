"""`Undoing`: deleting what a launch leaves that fails, and what cannot be deleted while the engine is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.private_loop import end_task, settled


class Undoing:
    """Deletes kernels, now or later; lives on the private loop.

    Parameters
    ----------
    delete
        Of the lifecycle manager; it notes here what it cannot delete.
    """

    def __init__(self, delete: Callable[[KernelResource, float], Coroutine[Any, Any, None]]) -> None:
        self._delete = delete
        self._left: dict[str, KernelResource] = {}
        self._deleting: set[asyncio.Task[None]] = set()

    async def undo(self, resource: KernelResource) -> None:
        """Delete a kernel to the end, whoever cancels meanwhile."""
        deleting = asyncio.ensure_future(self._delete(resource, 0))
        await settled(deleting)
        with suppress(RemoteKernelError):  # an engine that is away: it is deleted when that is back
            deleting.result()

    def note(self, resource: KernelResource) -> None:
        """Note what has to be deleted when the engine is back."""
        self._left[resource.id] = resource

    def on_back(self) -> None:
        """Delete what was noted."""
        while self._left:
            _, resource = self._left.popitem()
            deleting = asyncio.get_running_loop().create_task(self.undo(resource))
            self._deleting.add(deleting)
            deleting.add_done_callback(self._deleting.discard)

    async def close(self) -> None:
        """Delete nothing any more."""
        for deleting in list(self._deleting):
            await end_task(deleting)
