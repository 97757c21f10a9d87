"""The one event loop on which all our I/O runs, in a daemon thread of its own.

Callers live on many loops or on none: a server's loop that may be busy, a blocking client, a test. They reach the
private loop by `PrivateLoop.call` (from a coroutine) or `PrivateLoop.run` (from blocking code) and so can neither delay
a launch nor be delayed by one. The thread starts on first use and after a fork anew.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextvars
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from remote_kernel_provider.threads import DaemonThreads

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

EXIT_GRACE = 5.0
"""Seconds that clean-ups still under way get when the process ends, and then as many what is to be done at the end."""

LAST_GRACE = 1.0
"""Seconds in which what is to be done at the end closes its connections, when its own time is over."""

THREADS = 8
"""Calls that block, at a time: files are read, names are resolved."""


class _Call(concurrent.futures.Future, Generic[T]):  # type: ignore[type-arg]  # not subscriptable as a base
    """The outcome of a coroutine on the private loop, for another thread.

    It ends when the task has ended, never at the moment at which its cancellation is asked: whoever waits for it then
    knows that the clean-up is over.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._loop = loop
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Have the coroutine run, with the caller's context variables."""
        context = contextvars.copy_context()
        self._loop.call_soon_threadsafe(lambda: self._follow(context.run(self._loop.create_task, self._coroutine)))

    def _follow(self, task: asyncio.Task[T]) -> None:
        self._task = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._cancelled()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())

    def _cancelled(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        if self.done():
            return False
        self._loop.call_soon_threadsafe(self._cancel)
        return True

    def _cancel(self) -> None:
        # Queued behind the start: without a task, there was none.
        if self._task is not None:
            self._task.cancel()
        elif not self.done():
            self._coroutine.close()
            self._cancelled()


class _Executor(ThreadPoolExecutor):
    """The threads of `asyncio.to_thread`, which must be there when the process ends: its kernels are deleted then.

    The threads of the base class, the only kind that a loop takes, do no more work once the main thread has ended.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # never started
        self._daemons = DaemonThreads(THREADS, "remote-kernels-thread")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        return self._daemons.submit(partial(fn, *args, **kwargs))


class PrivateLoop:
    """An event loop in a daemon thread, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._at_exit: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def _running(self) -> asyncio.AbstractEventLoop:
        # A fork copies the attributes and not the thread.
        if self._loop is not None and self._pid == os.getpid():
            return self._loop
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(_Executor())
                self._pid = os.getpid()
                self._at_exit = []
                threading.Thread(target=self._loop.run_forever, name="remote-kernels", daemon=True).start()
                atexit.register(self._end, self._loop, self._pid)
            return self._loop

    def _end(self, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        if pid != os.getpid():
            return

        ending = _Call(self._settle(), loop)
        ending.start()
        try:
            ending.result(2 * EXIT_GRACE)
        except concurrent.futures.TimeoutError:
            ending.cancel()
            concurrent.futures.wait([ending], LAST_GRACE)

    async def _settle(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=EXIT_GRACE)
        for task in others:
            if task.done() and not task.cancelled():
                task.exception()  # looked at, so that nobody complains about it
        for finish in reversed(self._at_exit):
            try:
                await finish()
            except Exception:  # whatever it is: the others must finish, too
                log.exception("Something could not be finished as the process ended.")

    def at_exit(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function on the private loop when the process ends, last registered first."""
        self._running()
        self._at_exit.append(finish)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the private loop, with the caller's context variables."""
        call = _Call(coroutine, self._running())
        call.start()
        return call

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the private loop and block until it has ended.

        Raises
        ------
        RuntimeError
            When called on the private loop itself, where blocking would be for ever.
        """
        if self.is_current():
            coroutine.close()
            raise RuntimeError("PrivateLoop.run was called on the private loop; await the coroutine instead")
        call = _Call(coroutine, self._running())
        try:
            call.start()
            result: T = call.result()
            return result
        except KeyboardInterrupt:
            # The clean-up of what was under way is part of the call.
            call.cancel()
            concurrent.futures.wait([call], EXIT_GRACE)
            raise

    async def call(
        self, coroutine: Coroutine[Any, Any, T], *, undo: Callable[[T], Coroutine[Any, Any, object]] | None = None
    ) -> T:
        """Await, from any loop, a coroutine that runs on the private loop.

        A cancellation is passed on, and is over when the coroutine has cleaned up.

        Parameters
        ----------
        coroutine
            What to run.
        undo
            Takes back a result that came too late: after the caller was cancelled, nobody else knows of it.
        """
        if self.is_current():
            return await coroutine
        future = self.submit(coroutine)
        waiter = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            future.cancel()
            await settled(waiter)
            if undo is not None and not waiter.cancelled() and waiter.exception() is None:
                await settled(asyncio.wrap_future(self.submit(undo(waiter.result()))))
            raise

    def is_current(self) -> bool:
        """Whether the caller runs on the private loop."""
        try:
            return asyncio.get_running_loop() is self._loop and self._pid == os.getpid()
        except RuntimeError:
            return False


async def settled(future: asyncio.Future[Any]) -> bool:
    """Wait until a future is done, however often the caller is cancelled meanwhile; whether it was."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


async def end_task(task: asyncio.Future[Any]) -> None:
    """Cancel a task whose outcome does not matter, and wait for its end; a cancellation of the caller comes through."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # looked at, so that nobody complains about it


async def within(seconds: float | None, awaitable: Awaitable[T]) -> T:
    """Await something for so many seconds at most; None = for ever.

    `asyncio.wait_for`, before Python 3.12, loses a cancellation that comes together with the result: whoever then waits
    for the end of the task that he has cancelled may wait for ever.

    Raises
    ------
    asyncio.TimeoutError
        When it was not done in time; it has been cancelled then.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await end_task(task)
        raise
    if not done:
        await end_task(task)
        raise asyncio.TimeoutError
    return task.result()


PRIVATE_LOOP = PrivateLoop()
"""The process's private loop; importing starts nothing."""
