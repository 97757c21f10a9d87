"""`EventStream`: the one stream of an engine's events for all kernels of a process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from docker_kernel_provider.engine import engine_errors
from remote_kernel_provider.errors import RemoteKernelError

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two attempts to reach an engine that has gone; each pause doubles."""
OVERLAP = 2
"""Seconds that a new stream reaches back: the engine takes the subscription only after it has answered."""


CLOSE_DEADLINE = 5.0
"""Seconds that the thread has to end: one that waits for an engine which does not answer ends with the process."""


class Listener(Protocol):
    """Who is told what the engine says; on the private loop."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Take one event."""

    def on_connected(self) -> None:
        """Look at everything again: what happened before this moment was perhaps not told."""

    def on_disconnected(self) -> None:
        """Know nothing until further notice."""


class EventStream:
    """Reads the engine's events in a thread of its own, for as long as somebody needs them.

    When the engine goes, the listener is told; when it is back, again, and has to look at everything once. So no change
    is lost, however long the engine was away.

    Parameters
    ----------
    client
        Of the engine.
    filters
        Of the events, as the engine's API has them.
    listener
        Who is told.
    """

    def __init__(self, client: APIClient, filters: Mapping[str, Any], listener: Listener) -> None:
        self._client = client
        self._filters = dict(filters)
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._is_connected = False
        self._tried = asyncio.Event()
        self._closed = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._read, name="docker-events", daemon=True)
        self._thread.start()

    async def until_tried(self) -> bool:
        """Wait for the first attempt, and return whether the engine has the subscription; if not, it is tried again."""
        await self._tried.wait()
        return self._is_connected

    async def close(self) -> None:
        """End the stream."""
        self._closed.set()
        self._end_stream()
        deadline = time.monotonic() + CLOSE_DEADLINE
        while self._thread.is_alive() and time.monotonic() < deadline:  # its end is no event of the loop
            self._end_stream()
            await asyncio.sleep(0.01)

    def _end_stream(self) -> None:
        stream = self._stream
        if stream is not None:
            # The SDK shuts the socket down, which ends the read in the thread; it may be closed already.
            with suppress(Exception):
                stream.close()

    def _read(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                with engine_errors(None):
                    since = int(time.time()) - OVERLAP
                    self._stream = self._client.events(since=since, filters=self._filters, decode=True)
                    self._tell(self._on_connected)
                    pause = FIRST_PAUSE
                    for event in self._stream:
                        self._tell(self._listener.on_event, event)
            except RemoteKernelError:
                pass  # told below
            except Exception:  # whatever it is: a thread that ended would leave every kernel's end unnoticed
                log.exception("The stream of the Docker engine's events failed; it is opened again.")
            if not self._closed.is_set():
                self._tell(self._on_disconnected)
                self._closed.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _on_connected(self) -> None:
        self._is_connected = True
        self._tried.set()
        self._listener.on_connected()

    def _on_disconnected(self) -> None:
        self._is_connected = False
        self._tried.set()
        self._listener.on_disconnected()

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(function, *arguments)
