"""The server's kernels: launches of ours are pending, can be cancelled, and fail as one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, NoSuchKernel
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from traitlets import Bool, Float
from traitlets.utils.importstring import import_item

from remote_kernel_provider.errors import ParameterError
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.server.extension import compose
from remote_kernel_provider.jupyter.server.idleness import hear_after_breaks
from remote_kernel_provider.jupyter.server.kernel_manager import RemoteServerKernelManager
from remote_kernel_provider.jupyter.server.launches import Launches
from remote_kernel_provider.jupyter.server.survival import on_stop
from remote_kernel_provider.jupyter.server.waiting import WaitingValues, id_in_request
from remote_kernel_provider.jupyter.users import current_user
from remote_kernel_provider.kernelspecs.stock import leads_to_us

PATIENCE = 2.0
"""Seconds in which a launch may be over before its client gets a pending kernel."""

Stop = Callable[..., Coroutine[Any, Any, None]]

_PENDING: ContextVar[bool | None] = ContextVar("_PENDING", default=None)
"""Whether the kernel that is being started is one of ours; None outside a start."""


class _Pending(Bool[bool, bool]):
    """The stock setting, which our own starts find on."""

    def get(self, obj: Any, cls: Any = None) -> bool | None:
        return _PENDING.get() or super().get(obj, cls)


class RemoteMapping(AsyncMappingKernelManager):
    """Maps ids to kernels; acts on those of our provisioner, and leaves every other as it is."""

    use_pending_kernels = _Pending(
        False,
        help="""Whether to make ordinary kernels available before their process has started. Remote kernels always
        are.""",
    ).tag(config=True)

    dead_kernel_timeout = Float(
        60.0,
        min=0.0,
        help="""Seconds for which a remote kernel that died for good, or was not started, stays listed with its reason;
        until then a restart revives it. Default: 60.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.launches = Launches()
        self.waiting = WaitingValues()
        self._dead: dict[str, asyncio.TimerHandle] = {}
        self._removing: set[asyncio.Future[None]] = set()

    def _create_kernel_manager_factory(self) -> Callable[..., KernelManager]:
        ordinary: Callable[..., KernelManager] = super()._create_kernel_manager_factory()
        base = import_item(self.kernel_manager_class)
        if not issubclass(base, ServerKernelManager):
            self.log.warning("%s is no ServerKernelManager: remote kernels start as ordinary ones do.", base)
            return ordinary
        remote = compose(RemoteServerKernelManager, base)

        def make(**kwargs: Any) -> KernelManager:
            if not self._runs_remotely(kwargs.get("kernel_name")):
                return ordinary(**kwargs)
            if self.shared_context:
                if self.context.closed:
                    self.context = self._context_default()
                kwargs.setdefault("context", self.context)
            made: KernelManager = remote(**kwargs)
            return made

        return make

    def _runs_remotely(self, name: str | None) -> bool:
        if name is None or self.kernel_spec_manager is None:
            return False
        try:
            spec = self.kernel_spec_manager.get_kernel_spec(NATIVE_KERNEL_NAME if name == "python" else name)
            return leads_to_us(spec.metadata)
        except (NoSuchKernel, LookupError, TypeError, ValueError, OSError):
            return False  # the start itself says what is wrong with a spec

    def remote(self, kernel_id: str) -> RemoteServerKernelManager | None:
        """Return a kernel of ours; None for any other."""
        kernel = self._kernels.get(kernel_id)
        return kernel if isinstance(kernel, RemoteServerKernelManager) else None

    def pre_start_kernel(self, kernel_name: str | None, kwargs: Any) -> tuple[KernelManager, str, str]:
        """Make the kernel's manager; a start of one of ours goes on in the background."""
        made = super().pre_start_kernel(kernel_name, kwargs)
        if _PENDING.get() is not None:
            _PENDING.set(isinstance(made[0], RemoteServerKernelManager))
        return made

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Start a kernel; one of ours is returned as soon as it is ready, or pending after two seconds.

        Raises
        ------
        LaunchHTTPError
            When the launch failed within that time; nothing is listed then.
        """
        kwargs = self._with_waiting_values(kwargs)
        token = _PENDING.set(False)
        try:
            kernel_id: str = await super().start_kernel(**kwargs)
            is_pending = _PENDING.get()
        finally:
            _PENDING.reset(token)
        if is_pending and (kernel := self.remote(kernel_id)) is not None:
            await asyncio.wait([self._pending_kernel_tasks[kernel_id]], timeout=PATIENCE)
            if kernel.failed:
                error = kernel.ready.exception()
                if self.remote(kernel_id) is kernel:  # nobody has shut it down meanwhile
                    await self.shutdown_kernel(kernel_id, now=True)
                assert error is not None
                raise error
        return kernel_id

    def _with_waiting_values(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add the values that the client has posted for this launch."""
        kernel_id = kwargs.get("kernel_id") or id_in_request()
        name = kwargs.get("kernel_name") or self.default_kernel_name
        if not kernel_id or kernel_id in self:
            return kwargs
        try:
            values = self.waiting.take(kernel_id, current_user(), name)
        except ParameterError as error:
            raise LaunchHTTPError(error, in_dialog=True) from None
        return kwargs if values is None else {**kwargs, "launch_params": values}

    async def _finish_kernel_start(self, kernel_id: str) -> None:
        kernel = self.remote(kernel_id)
        if kernel is not None:
            await kernel.settle()
            if kernel.failed:
                self._keep_dead(kernel_id, kernel)
                return
        await super()._finish_kernel_start(kernel_id)  # type: ignore[no-untyped-call]
        if kernel is not None:
            kernel.on_end.add(partial(self._let_go, kernel_id))
            kernel.on_return.add(partial(self._follow, kernel_id))
            if kernel.execution_state == "starting":
                kernel.execution_state = "idle"  # it has answered

    def start_watching_activity(self, kernel_id: str) -> None:
        """Note what a kernel says of its state, and ask for it where that may have been lost."""
        super().start_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        kernel = self.remote(kernel_id)
        if kernel is not None:
            hear_after_breaks(kernel, kernel._activity_stream)  # type: ignore[attr-defined]

    def stop_watching_activity(self, kernel_id: str) -> None:
        """Note no more of what a kernel says, and ask it nothing."""
        super().stop_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        kernel = self.remote(kernel_id)
        if kernel is not None and kernel.asking is not None:
            kernel.asking.cancel()

    def _let_go(self, kernel_id: str) -> None:
        """Close the sockets that wait for a client to come back; what they have heard stays for it."""
        buffer = self._kernel_buffers.get(kernel_id)
        if buffer is not None:
            for stream in buffer["channels"].values():
                stream.close()
            buffer["channels"] = {}

    def _follow(self, kernel_id: str) -> None:
        """Listen to the kernel that a restart has brought back."""
        # No ports are other ports than its own: a client that comes back gets new channels.
        self._kernel_ports[kernel_id] = []
        self.stop_watching_activity(kernel_id)
        self.start_watching_activity(kernel_id)

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> Any:  # type: ignore[override]
        """Restart a kernel; a launch that is under way is waited for, as it gives a new kernel anyhow."""
        kernel = self.remote(kernel_id)
        if kernel is None:
            return await super().restart_kernel(kernel_id, now=now)  # type: ignore[no-untyped-call]
        if kernel.starting:
            await kernel.settle()
            if (error := kernel.ready.exception()) is not None:
                raise error
            return None
        try:
            if kernel_id not in self._kernel_ports:  # its first launch failed
                await kernel.restart_kernel(now=now)
                return await self._finish_kernel_start(kernel_id)
            restarted = await super().restart_kernel(kernel_id, now=now)  # type: ignore[no-untyped-call]
        except Exception:  # whatever it is, it goes on to the caller
            if kernel.failed and self.remote(kernel_id) is kernel:
                self._keep_dead(kernel_id, kernel)
            raise
        if getattr(kernel, "_activity_stream", None) is None:  # it was dead
            self.start_watching_activity(kernel_id)
        return restarted

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        """Shut a kernel down; a launch that is under way is cancelled."""
        await self._end(super().shutdown_kernel, kernel_id, now=now, restart=restart)

    async def _async_shutdown_kernel(
        self, kernel_id: str, now: bool | None = False, restart: bool | None = False
    ) -> None:
        await self._end(super()._async_shutdown_kernel, kernel_id, now=now, restart=restart)

    async def _end(self, stop: Stop, kernel_id: str, **how: bool | None) -> None:
        kernel = self.remote(kernel_id)
        if kernel is None:
            await stop(kernel_id, **how)
            return
        token = _PENDING.set(None)  # wherever we are called from, it is no start
        try:
            self._forget_death(kernel_id)
            await kernel.cancel_launch()
            if (under_way := self._pending_kernels.pop(kernel_id, None)) is not None:
                await asyncio.wait([under_way])
            if self.remote(kernel_id) is not kernel:
                return  # somebody else was shutting it down
            has_failed = kernel.failed
            await stop(kernel_id, **how)
            if has_failed:  # then the stock code takes it off the list, and no more
                kernel.stop_restarter()
                await ensure_async(kernel.cleanup_resources())
            self._pending_kernels.pop(kernel_id, None)
            self._kernel_connections.pop(kernel_id, None)
            self._kernel_ports.pop(kernel_id, None)
            self._close_buffer(kernel_id)
        finally:
            _PENDING.reset(token)

    def _close_buffer(self, kernel_id: str) -> None:
        """Close the channels of a client that left while the kernel ended: they would look for it for ever."""
        self._let_go(kernel_id)
        self._kernel_buffers.pop(kernel_id, None)

    def __bool__(self) -> bool:
        """Be there without kernels, too: a server tells an empty one nothing of its end."""
        return True

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """End or keep all kernels at the server's end."""
        await on_stop(self)
        for kernel_id, start in list(self._pending_kernels.items()):
            if start.done() and kernel_id not in self:
                del self._pending_kernels[kernel_id]  # stock code keeps failed starts, and fails here to end them
        await super().shutdown_all(now=now)

    def _handle_kernel_died(self, kernel_id: str) -> None:
        kernel = self.remote(kernel_id)
        if kernel is None:
            super()._handle_kernel_died(kernel_id)  # type: ignore[no-untyped-call]
        else:
            self._keep_dead(kernel_id, kernel)

    def _keep_dead(self, kernel_id: str, kernel: RemoteServerKernelManager) -> None:
        """Keep a kernel that will not come back, with its reason, for as long as clients may ask."""
        kernel.mark_dead()
        self.stop_watching_activity(kernel_id)
        self._forget_death(kernel_id)
        loop = asyncio.get_running_loop()
        self._dead[kernel_id] = loop.call_later(self.dead_kernel_timeout, self._remove_dead, kernel_id, kernel)

    def _forget_death(self, kernel_id: str) -> None:
        timer = self._dead.pop(kernel_id, None)
        if timer is not None:
            timer.cancel()

    def _remove_dead(self, kernel_id: str, kernel: RemoteServerKernelManager) -> None:
        if self.remote(kernel_id) is kernel and kernel.execution_state == "dead":
            removing = asyncio.ensure_future(self.shutdown_kernel(kernel_id, now=True))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)
