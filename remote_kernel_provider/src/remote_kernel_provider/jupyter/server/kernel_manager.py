"""One kernel of ours in a server: its launch can be cancelled, and its death has a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, cast

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from remote_kernel_provider.errors import KernelGoneError, LaunchError, RemoteKernelError
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.observing import LAUNCH_OBSERVER
from remote_kernel_provider.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernel_provider.jupyter.server.extension import compose
from remote_kernel_provider.jupyter.server.launches import Launches, Subject
from remote_kernel_provider.jupyter.server.restarter import RemoteRestarter
from remote_kernel_provider.jupyter.users import current_user
from remote_kernel_provider.private_loop import within

LAST_LINES = 200
"""Lines of output that are kept of a kernel that died."""

LAST_LINES_DEADLINE = 0.5
"""Seconds that a backend has to give them: the restart waits for them."""

Cells = dict[str, dict[str, Any]]
"""Headers of execute requests by message id, oldest first: the first is the cell that runs."""


class RemoteServerKernelManager(ServerKernelManager):
    """Manages one kernel of our provisioner; ordinary kernels have the class that the server is configured with.

    Attributes
    ----------
    cells
        What each client session has sent and the kernel has not finished; here, as connections come and go.
    asking
        Asks a kernel that counts as busy whether it is; None before the first time.
    on_end
        Called when a restart has ended the kernel, before it launches the next. Whoever has sockets closes them, also
        where the next one's address may be the same: the end of a container whose network went first is told to nobody,
        and who only listens would go on listening to nothing.
    on_return
        Called when a restart is over, to connect anew.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells: dict[str, Cells] = {}
        self.asking: asyncio.Future[None] | None = None
        self.on_end: set[Callable[[], None]] = set()
        self.on_return: set[Callable[[], None]] = set()
        self._under_way: asyncio.Future[None] | None = None
        self._launching: asyncio.Future[None] | None = None
        self._cancelled = False
        self._restarts = False
        self._failure = ""
        self._made_for = current_user()

    @property
    def starting(self) -> bool:
        """Whether a start or a restart is under way."""
        return self._under_way is not None

    @property
    def restarting(self) -> bool:
        """Whether a restart is under way; the state that clients see can be an older kernel's last word."""
        return self._restarts

    async def settle(self) -> None:
        """Return when no start and no restart is under way."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])

    @property
    def failed(self) -> bool:
        """Whether the last launch failed, or the kernel has died for good."""
        return bool(self.ready.done() and self.ready.exception())

    def start_restarter(self) -> None:
        """Watch for the kernel's death; the configured restarter without its timer."""
        self.restarter_class = cast(type[RemoteRestarter], compose(RemoteRestarter, self.restarter_class))
        is_new = self._restarter is None
        super().start_restarter()
        if is_new and self._restarter is not None:
            self._restarter.add_callback(lambda: self._tell_death(restarting=True), "restart")
            self._restarter.add_callback(lambda: self._tell_death(restarting=False), "dead")

    async def start_kernel(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Start the kernel."""
        with self._noted():
            await super().start_kernel(*args, **kwargs)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note that a start or a restart is under way."""
        over = self._under_way = asyncio.get_running_loop().create_future()
        self._cancelled = False
        try:
            yield
        finally:
            self._under_way = None
            over.set_result(None)

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        if self._restarts:
            for let_go in list(self.on_end):
                let_go()
        with self._launches.following(self._subject(), restart=self._restarts) as launch:
            observing = LAUNCH_OBSERVER.set(launch.observe)
            self._launching = asyncio.ensure_future(super()._async_launch_kernel(kernel_cmd, **kw))
            LAUNCH_OBSERVER.reset(observing)
            if self._cancelled:  # while the kernel before was shut down
                self._launching.cancel()
            try:
                await self._launching
            except asyncio.CancelledError:
                self._fail(_cancellation())  # jupyter_client leaves `ready` pending for ever
                raise
            finally:
                self._launching = None

    async def cancel_launch(self) -> None:
        """Cancel a start or a restart that is under way, and return when nothing is left of its launch."""
        self._cancelled = True
        if self._launching is not None:
            self._launching.cancel()
        await self.settle()

    async def restart_kernel(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Restart the kernel; when that fails, it is dead for good and all clients are told why."""
        self.cells.clear()
        self.execution_state = "restarting"
        self._restarts = True
        with self._noted():
            try:
                await super().restart_kernel(*args, **kwargs)
            except asyncio.CancelledError:
                if self._cancelled:  # the launch was, and not whoever waits for it
                    raise _cancellation() from None
                raise
            except Exception as error:  # whatever it is: a failed restart is a death, and goes on to the caller
                self._failure = str(error)
                if self._restarter is not None:
                    self._restarter.give_up()
                raise
            finally:
                self._restarts = False
        self._failure = ""
        self.reason = ""
        self.execution_state = "idle"  # it has answered
        for follow in list(self.on_return):
            follow()

    @cached_property
    def _launches(self) -> Launches:
        """The server's, or under anything else some that nobody looks at."""
        return getattr(self.parent, "launches", None) or Launches()

    @property
    def user(self) -> str:
        """Whose the kernel is: its first user's, whoever restarts it."""
        known = self.provisioner.user if isinstance(self.provisioner, RemoteKernelProvisioner) else ""
        return known or self._made_for

    def _subject(self) -> Subject:
        launched_with: Any = self._launch_args or {}
        values = launched_with.get("launch_params") or {}
        display_name = str(getattr(self.kernel_spec, "display_name", self.kernel_name))
        return Subject(str(self.kernel_id), self.kernel_name, display_name, self.user, values)

    async def keep_last_output(self) -> None:
        """Keep what a kernel that has just died put out last, for its owner; a restart will remove it."""
        provisioner = self.provisioner
        if not isinstance(provisioner, RemoteKernelProvisioner) or (status := provisioner.status) is None:
            return
        logs = ""
        with suppress(asyncio.TimeoutError, RemoteKernelError, OSError):
            logs = await within(LAST_LINES_DEADLINE, provisioner.last_output(LAST_LINES))
        self._launches.died(self._subject(), status, logs)

    def _tell_death(self, *, restarting: bool) -> None:
        status = self.provisioner.status if isinstance(self.provisioner, RemoteKernelProvisioner) else None
        if status is not None and not self._failure:  # else the launch that failed has told it
            self._launches.tell_death(self._subject(), status, restarting=restarting)

    def last_words(self) -> str:
        """Say why the kernel is not there, as a text for a dialog or a cell."""
        if self._failure:
            return self._failure
        death = self.provisioner.death if isinstance(self.provisioner, RemoteKernelProvisioner) else ""
        sentence = f"The kernel died: {death}." if death else "The kernel died."
        return str(LaunchHTTPError(KernelGoneError(sentence), in_dialog=True))

    def mark_dead(self) -> None:
        """Become a kernel that will not come back, and that says why to whoever asks."""
        if self.failed:
            self._failure = str(self.ready.exception())
        self.execution_state = "dead"
        self.reason = self.last_words()
        if not self.failed:  # else its own error stays, with its own status for HTTP
            self._fail(LaunchHTTPError(KernelGoneError(self.reason)))

    def _fail(self, error: Exception) -> None:
        if self.ready.done():
            self._ready = asyncio.get_running_loop().create_future()
        self.ready.set_exception(error)
        self.ready.exception()  # looked at, so that nobody complains about it


def _cancellation() -> LaunchHTTPError:
    return LaunchHTTPError(LaunchError("The kernel's launch was cancelled."))
