"""`StagedLifecycleManager`: a backend whose launches are slow and fail on demand, over real processes.

The command of its kernels is `testing.stages`, which goes through the stages in a file and then becomes the kernel. A
test makes the backend known by an entry point of the group `remote_kernel_provider.lifecycle_managers`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus, Phase
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.testing.stages import INTERVAL, STAGE


class StagedLifecycleManager(LocalLifecycleManager):
    """Runs processes of this machine that say themselves how far their launch is.

    Each launch has another address, as containers and pods have.
    """

    name: ClassVar[str] = "staged"

    @property
    def _root(self) -> Path:
        return super()._root.with_name("staged-kernels")  # the local backend takes what is in its own for its kernels

    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose ports of one of the many loopback addresses that Linux has."""
        _, ports = await super().ports(count, port_range, preferred)
        return f"127.0.0.{random.randrange(2, 255)}", ports

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return that address."""
        return Route((await self.recall(resource)).connection.ip, tuple(ports))

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Return the stage of a launch under way, else what the process does."""
        return self._explained(resource, await super().status(resource))

    async def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield each stage, then what the process does."""
        last = None
        while (status := await self.status(resource)).phase.waiting:
            if status != last:
                yield status
                last = status
            await asyncio.sleep(INTERVAL)
        async for status in super().watch(resource):
            yield self._explained(resource, status)

    def _explained(self, resource: KernelResource, status: KernelStatus) -> KernelStatus:
        stage = self._stage(resource)
        if status.phase is Phase.RUNNING and stage.phase.waiting:
            return stage
        if status.phase.ended and stage.phase is Phase.FAILED:
            return replace(status, phase=Phase.FAILED, reason=stage.reason, message=stage.message)
        return status

    def _stage(self, resource: KernelResource) -> KernelStatus:
        with suppress(OSError, ValueError):
            document = json.loads((self._folder(resource).path / STAGE).read_bytes())
            return KernelStatus(Phase(document["phase"]), "", document.get("reason", ""), document.get("message", ""))
        return KernelStatus(Phase.PENDING)  # it has not said anything yet
