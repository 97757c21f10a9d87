"""`DaemonThreads`: a bounded pool for blocking calls, which still works while the interpreter exits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Job = Callable[[], None]


class DaemonThreads:
    """A pool of daemon threads.

    `concurrent.futures` takes no more work once the main thread has ended, which is when a host deletes its kernels.

    Parameters
    ----------
    size
        How many threads; all are started with the first job, because at the interpreter's exit none can be.
    name
        What their names begin with.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started = False

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Run a function in one of the threads."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # noqa: BLE001  # whoever awaits the future deals with it
                future.set_exception(error)

        self._start()
        self._jobs.put(job)
        return future

    def close(self) -> None:
        """Let the threads end when they have done what was submitted; a later job starts new ones."""
        with self._lock:
            if self._started:
                for _ in range(self._size):
                    self._jobs.put(None)
            self._started = False
            self._jobs = SimpleQueue()

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
            for number in range(self._size):
                name = f"{self._name}-{number}"
                threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # what it holds is not kept until the next one comes
