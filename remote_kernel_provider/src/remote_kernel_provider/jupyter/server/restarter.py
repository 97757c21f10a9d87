"""Restarting kernels of ours when they die: told by an event, where stock Jupyter asks every three seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter


class RemoteRestarter(AsyncIOLoopKernelRestarter):
    """Awaits the kernel's death, then does what the stock restarter does."""

    _watching: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Watch the kernel that was just launched."""
        if self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())

    def stop(self) -> None:
        """Watch no longer; called under a restart of ours, too."""
        watching, self._watching = self._watching, None
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()

    async def _watch(self) -> None:
        provisioner: Any = self.kernel_manager.provisioner
        began = time.monotonic()
        await provisioner.ended()
        # The stock restarter notes a stable start at one of its polls; here the one poll comes after the death.
        if time.monotonic() - began >= provisioner.get_stable_start_time(recommended=self.stable_start_time):
            self._restarting = self._initial_startup = False
        try:
            if not self.kernel_manager.shutting_down:
                await self.kernel_manager.keep_last_output()
            await self.poll()
        except Exception as error:  # noqa: BLE001  # the kernel manager has logged it, and told the clients
            self.log.debug("No restart: %s", error)

    def give_up(self) -> None:
        """Tell everybody that the kernel will not come back by itself."""
        self._restarting = False
        self._restart_count = 0
        self._fire_callbacks("dead")
