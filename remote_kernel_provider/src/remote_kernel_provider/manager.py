"""`RemoteKernelManager`: one running kernel, whoever launched it and wherever it runs."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.kernel_mgmt import KernelManagerABC
from remote_kernel_provider.launch import Launched
from remote_kernel_provider.lifecycle import KernelStatus, Phase
from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within

_log = logging.getLogger(__name__)

INTERRUPT_DEADLINE = 5.0
"""Seconds in which a kernel must answer an interrupt request."""


class RemoteKernelManager(KernelManagerABC):
    """One running kernel; made on the private loop, where it follows the kernel's state from then on.

    Every coroutine may be awaited on any loop and tolerates a kernel that has ended. What the backend says of the
    kernel is known from its watch: asking `is_alive` costs nothing.

    Parameters
    ----------
    launched
        The kernel.
    interrupt_mode
        `signal` or `message`, as its spec says.
    grace
        Seconds between the polite request to end and the end by force.
    log
        Where its death is logged; by default this module's logger.
    """

    def __init__(
        self,
        launched: Launched,
        interrupt_mode: str,
        grace: float,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self.kernel_id = launched.resource.kernel_id
        self.resource = launched.resource
        self.connection: ConnectionInfo = launched.connection
        self._lifecycle = launched.lifecycle
        self._interrupt_mode = interrupt_mode
        self._grace = grace
        self._log = log or _log
        self._ending = False
        self._status = KernelStatus(Phase.RUNNING)
        self._ended = asyncio.Event()
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        try:
            async for status in self._lifecycle.watch(self.resource):
                self._status = status
                if status.phase.ended:
                    break
        except Exception:  # noqa: BLE001  # a backend's fault says nothing about the kernel: it counts as alive
            self._log.exception("The watch of kernel %s failed; its end will not be noticed.", self.kernel_id)
            return
        self._ended.set()
        if not self._ending and self._status.phase is not Phase.SUCCEEDED:
            self._log.error(
                "Kernel %s (%s) died: %s", self.kernel_id, self.resource.kernel_name, self._status.sentence()
            )

    @property
    def status(self) -> KernelStatus:
        """What the backend said last."""
        return self._status

    def expect_end(self) -> None:
        """Note that the kernel was asked to end, so that its end is no news."""
        self._ending = True

    async def is_alive(self) -> bool:
        """Whether the kernel runs."""
        return not self._status.phase.ended

    async def wait(self) -> bool:
        """Wait for the kernel's end.

        Returns
        -------
        bool
            False: it is no longer alive.
        """
        await PRIVATE_LOOP.call(self._wait())
        return False

    async def _wait(self) -> None:
        await self._ended.wait()

    async def signal(self, signum: int) -> None:
        """Send a signal to the kernel's process, and to it alone."""
        await PRIVATE_LOOP.call(self._signal(signum))

    async def _signal(self, signum: int) -> None:
        with suppress(KernelGoneError):
            await self._lifecycle.signal(self.resource, signum)

    async def interrupt(self) -> None:
        """Interrupt what the kernel runs, by signal or by message as its spec says."""
        await PRIVATE_LOOP.call(self._interrupt())

    async def _interrupt(self) -> None:
        if self._interrupt_mode == "message":
            await self._while_alive(KernelChannels(self.connection).interrupt(), INTERRUPT_DEADLINE)
        else:
            await self._signal(signal.SIGINT)

    async def _while_alive(self, request: Coroutine[Any, Any, None], deadline: float) -> None:
        """Await a request to the kernel until it is answered, the kernel ends or the time is over."""
        answering = asyncio.ensure_future(request)
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({answering, ending}, timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, ending):
                await end_task(task)

    async def shutdown(self) -> None:
        """Ask the kernel to end, give it its grace, and remove all that is left of it."""
        self.expect_end()
        await PRIVATE_LOOP.call(self._shutdown())

    async def _shutdown(self) -> None:
        await self._while_alive(KernelChannels(self.connection).shutdown(), self._grace)
        with suppress(asyncio.TimeoutError):
            await within(self._grace, self._ended.wait())
        await self._delete(self._grace)

    async def terminate(self) -> None:
        """Ask the kernel's process to end (SIGTERM)."""
        self.expect_end()
        await self.signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End the kernel by force and remove all that is left of it."""
        self.expect_end()
        await PRIVATE_LOOP.call(self._delete(0))

    async def cleanup(self) -> None:
        """End the kernel if it still runs, and remove all that is left of it; idempotent."""
        self.expect_end()
        await PRIVATE_LOOP.call(self._delete(self._grace))

    async def _delete(self, grace: float) -> None:
        await self._lifecycle.delete(self.resource, grace)
        await end_task(self._following)
        if not self._ended.is_set():
            self._status = KernelStatus(Phase.GONE, reason="Deleted", message="it was deleted")
            self._ended.set()

    async def leave(self) -> None:
        """Stop following the kernel; it goes on."""
        await PRIVATE_LOOP.call(end_task(self._following))

    async def logs(self, tail: int = 100) -> str:
        """Return the kernel's last lines of output; they may hold secrets of its user."""
        return await PRIVATE_LOOP.call(self._lifecycle.logs(self.resource, tail))
