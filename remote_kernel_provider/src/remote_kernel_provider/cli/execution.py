"""Executing a notebook by nbclient over our kernel provisioner, the way stock Jupyter does it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from jupyter_client.kernelspec import KernelSpec as StockSpec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from remote_kernel_provider.cli.failures import INTERRUPTED, RAISED
from remote_kernel_provider.cli.streaming import LiveOutput
from remote_kernel_provider.errors import KernelDiedError
from remote_kernel_provider.host import current_host
from remote_kernel_provider.jupyter.observing import LAUNCH_OBSERVER
from remote_kernel_provider.kernelspecs.stock import stanza_for
from remote_kernel_provider.launch import ProgressCallback
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus
from remote_kernel_provider.parameters.environment import PassedEnvironment
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import load_provider

INTERRUPT_GRACE = 5.0
"""Seconds that a cell has to end after Ctrl-C; then its kernel is ended by force."""

OUTPUT_GRACE = 30
"""Seconds that a cell's output may arrive later than its reply: much output on a slow terminal takes its time."""

BROKEN_PIPE = 128 + signal.SIGPIPE


@dataclass(frozen=True)
class Execution:
    """What is to be executed, and how.

    Parameters
    ----------
    notebook
        Takes the outputs.
    kernel
        `provider/kernel`.
    cwd
        Working directory of the kernel.
    environment
        What is passed to it, parameters as `KERNEL_*`.
    timeout
        Seconds that each cell may take; None = any.
    allow_errors
        Whether the next cell is executed after one that raised.
    """

    notebook: Any
    kernel: str
    cwd: str
    environment: PassedEnvironment
    timeout: int | None = None
    allow_errors: bool = False


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Parameters
    ----------
    status
        Exit status.
    sentence
        Which cell failed, and how; empty when none did.
    was_shown
        Whether the output has said already how.
    """

    status: int
    sentence: str = ""
    was_shown: bool = False


def execute(execution: Execution, on_progress: ProgressCallback, on_ready: Callable[[], None]) -> Outcome:
    """Execute a notebook, show its output as it arrives, and leave no kernel.

    Parameters
    ----------
    execution
        What and how.
    on_progress
        Called on another thread at each step of the launch.
    on_ready
        Called when the kernel is there.

    Raises
    ------
    RemoteKernelError
        When the kernel cannot be launched, or dies.
    """
    LAUNCH_OBSERVER.set(on_progress)
    return asyncio.run(_execute(execution, on_ready))


async def _execute(execution: Execution, on_ready: Callable[[], None]) -> Outcome:
    control = _Control()
    manager = _kernel_manager(execution.kernel)
    client = _LiveClient(execution, manager, LiveOutput(lambda: control.end(BROKEN_PIPE)), on_ready)
    executing = asyncio.ensure_future(client.async_execute(env=execution.environment, cwd=execution.cwd))
    with control.of(client, executing):
        await asyncio.wait({executing})
    if control.status:
        with suppress(asyncio.CancelledError):
            executing.exception()
        return Outcome(control.status)
    return _outcome(executing, client)


def _outcome(executing: asyncio.Future[Any], client: _LiveClient) -> Outcome:
    try:
        executing.result()
    except CellExecutionError as error:
        sentence = f"cell {client.cell_number} raised {error.ename}: {error.evalue}"
        return Outcome(RAISED, sentence, client.has_shown_error)
    except CellTimeoutError:
        return Outcome(RAISED, f"cell {client.cell_number} did not end within {client.timeout} s (--timeout)")
    return Outcome(0)


def _kernel_manager(kernel: str) -> AsyncKernelManager:
    """Make a stock kernel manager whose only spec leads to our provisioner."""
    provider_id, _, name = kernel.partition("/")
    spec, _ = load_provider(provider_id).find(name)
    stock = StockSpec(
        display_name=spec.display_name,
        language=spec.language,
        interrupt_mode=spec.interrupt_mode,
        metadata={**spec.metadata, "kernel_provisioner": stanza_for(kernel)},
    )
    # A logger of its own, which only --debug shows: what goes wrong is said once, when it is over.
    quiet = logging.getLogger("jupyter_remote_kernel.run")
    return AsyncKernelManager(kernel_name=kernel, kernel_spec_manager=_OneSpec(stock), log=quiet)


class _OneSpec(KernelSpecManager):
    """Knows one kernel spec, which is in no file."""

    def __init__(self, spec: StockSpec) -> None:
        super().__init__()
        self._spec = spec

    def get_kernel_spec(self, kernel_name: str) -> StockSpec:
        return self._spec


class _LiveClient(NotebookClient):
    """Shows output as it arrives, and says why a kernel died."""

    km: AsyncKernelManager

    def __init__(
        self, execution: Execution, manager: AsyncKernelManager, output: LiveOutput, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(
            execution.notebook,
            km=manager,
            timeout=execution.timeout,
            allow_errors=execution.allow_errors,
            iopub_timeout=OUTPUT_GRACE,
        )
        self._output = output
        self._on_ready = on_ready
        self._interrupted = False
        self.cell_number = 0
        self.has_shown_error = False

    @property
    def is_executing(self) -> bool:
        """Whether there is a cell that an interrupt reaches."""
        return self.cell_number > 0

    @asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncGenerator[None, None]:
        """Start the kernel, and end it afterwards.

        nbclient's own method answers Ctrl-C by killing the kernel; here it interrupts the cell.
        """
        try:
            await self.async_start_new_kernel(**kwargs)
            await self.async_start_new_kernel_client()
            self._on_ready()
            yield
        except DeadKernelError:
            raise await self._death() from None
        finally:
            await self._async_cleanup_kernel()

    async def async_execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Execute a cell, unless an interrupt came before it."""
        if self._interrupted:
            raise asyncio.CancelledError
        self.cell_number = cell_index + 1
        return await super().async_execute_cell(cell, cell_index, *args, **kwargs)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Show a message before it goes into the notebook."""
        self._output.show(msg)
        self.has_shown_error = self.has_shown_error or msg["msg_type"] == "error"
        return super().process_message(msg, cell, cell_index)

    async def interrupt(self) -> None:
        """Interrupt the cell, and execute no further one, errors allowed or not."""
        self._interrupted = self.force_raise_errors = True
        await self.km.interrupt_kernel()

    async def _death(self) -> KernelDiedError:
        assert self.km.provisioner is not None  # a kernel that died was launched
        info = await self.km.provisioner.get_provisioner_info()
        status, tail = await PRIVATE_LOOP.call(_last_words(info))
        where = f" while cell {self.cell_number} ran" if self.cell_number else ""
        message = f"kernel '{self.km.kernel_name}' died{where}: {status.sentence()}"
        return KernelDiedError(message, status=status, log_tail=tail)


async def _last_words(info: Mapping[str, Any]) -> tuple[KernelStatus, str]:
    host = current_host()
    resource = KernelResource.from_json(info["resource"])
    lifecycle = host.lifecycle(resource.lifecycle)
    return await lifecycle.status(resource), await lifecycle.logs(resource, host.settings.log_tail)


class _Control:
    """Ends an execution early, on a signal or when nobody reads its output.

    The first Ctrl-C interrupts the running cell, as in a notebook; a second one ends the kernel, and so
    does a cell that goes on.
    """

    def __init__(self) -> None:
        self.status = 0
        self._client: _LiveClient | None = None
        self._executing: asyncio.Future[Any] | None = None
        self._interrupting: asyncio.Task[None] | None = None

    @contextmanager
    def of(self, client: _LiveClient, executing: asyncio.Future[Any]) -> Iterator[None]:
        """Take the signals of this process while the body runs."""
        self._client, self._executing = client, executing
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        ending = (signal.SIGTERM, signal.SIGHUP)
        for signum in ending:
            loop.add_signal_handler(signum, self.end, 128 + signum)
        try:
            yield
        finally:
            for signum in (signal.SIGINT, *ending):
                loop.remove_signal_handler(signum)
            if self._interrupting is not None:
                self._interrupting.cancel()

    def end(self, status: int) -> None:
        """End the kernel by force, and then the execution."""
        self.status = self.status or status
        if self._client is not None and self._executing is not None:
            self._client.shutdown_kernel = "immediate"
            self._executing.cancel()

    def _on_interrupt(self) -> None:
        if self._client is None or not self._client.is_executing or self._interrupting is not None:
            self.end(INTERRUPTED)
            return
        self.status = INTERRUPTED
        self._interrupting = asyncio.get_running_loop().create_task(self._interrupt(self._client))

    async def _interrupt(self, client: _LiveClient) -> None:
        await client.interrupt()
        await asyncio.sleep(INTERRUPT_GRACE)
        self.end(INTERRUPTED)
