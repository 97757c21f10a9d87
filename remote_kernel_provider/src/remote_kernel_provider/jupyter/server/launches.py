"""The launches under way in a server, and the last words of those that failed and of kernels that died."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from remote_kernel_provider.errors import LaunchError, ParameterError, RemoteKernelError
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.server.events import KernelEvent, Tell, no_event, public
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.lifecycle import KernelStatus, Phase

INTERVAL = 0.5
"""Seconds between two events of one launch under way."""

MOST_ENDED = 20
"""Kernels whose last words are kept."""

LONGEST_LOGS = 64 * 1024
"""Bytes that are kept of the output of each, and given out of any."""


@dataclass(frozen=True)
class Subject:
    """The kernel that an event is about.

    Parameters
    ----------
    id, name, display_name
        The kernel and its spec, as Jupyter lists them.
    user
        Whose it is; in no event.
    values
        What its client asked for; in no event.
    """

    id: str
    name: str
    display_name: str
    user: str
    values: Mapping[str, Any]

    def event(self, action: str, status: KernelStatus, message: str, **more: Any) -> KernelEvent:
        """Return an event, whose message holds nothing that is not for everybody."""
        words = public(message, [self.user, *self.values.values()])
        names = (self.id, self.name, self.display_name)
        return KernelEvent(action, *names, status.phase.value, words, status.reason, **more)


@dataclass(frozen=True)
class LastWords:
    """What is left of a launch that failed, or of a kernel that died; for its owner alone.

    Parameters
    ----------
    user
        The owner.
    message
        The whole sentence.
    logs
        The end of the kernel's output.
    """

    user: str
    message: str
    logs: str


class Launch:
    """One launch under way; lives on the server's loop.

    Parameters
    ----------
    subject
        The kernel.
    restart
        Whether it restarts a kernel.
    tell
        Gets the events.
    """

    def __init__(self, subject: Subject, restart: bool, tell: Tell) -> None:
        self.subject = subject
        self.restart = restart
        self.status = KernelStatus(Phase.PENDING)
        self._tell = tell
        self._began = self._told = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return round(time.monotonic() - self._began, 1)

    def begin(self) -> None:
        """Tell that it begins."""
        self._emit("launching", self.status.message)

    def observe(self, progress: LaunchProgress) -> None:
        """Note a step; called on the private loop."""
        with suppress(RuntimeError):  # the server's loop has ended before its launch
            self._loop.call_soon_threadsafe(self._note, progress.status)

    def _note(self, status: KernelStatus) -> None:
        if self._is_over or status == self.status:
            return
        self.status = status
        if self._timer is None:
            wait = self._told + INTERVAL - time.monotonic()
            if wait > 0:
                self._timer = self._loop.call_later(wait, self._step)
            else:
                self._step()

    def _step(self) -> None:
        self._timer = None
        self._told = time.monotonic()
        self._emit("launching", self.status.message)

    def end(self, action: str, message: str = "", status: KernelStatus | None = None) -> None:
        """Tell how it ended."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self.status = status or self.status
        self._emit(action, message)

    def _emit(self, action: str, message: str) -> None:
        self._tell(self.subject.event(action, self.status, message, seconds=self.seconds, restart=self.restart))


class Launches:
    """All launches under way of one server, and the last words of what ended badly.

    Attributes
    ----------
    tell
        Gets the events; nobody does before the server can emit them.
    """

    def __init__(self) -> None:
        self.tell: Tell = no_event
        self._under_way: dict[str, Launch] = {}
        self._last_words: OrderedDict[str, LastWords] = OrderedDict()

    def under_way(self) -> list[Launch]:
        """Return all, the oldest first."""
        return list(self._under_way.values())

    def get(self, kernel_id: str) -> Launch | None:
        """Return a kernel's launch under way, if there is one."""
        return self._under_way.get(kernel_id)

    def last_words(self, kernel_id: str) -> LastWords | None:
        """Return what is left of a kernel, if anything is known."""
        return self._last_words.get(kernel_id)

    @contextmanager
    def following(self, subject: Subject, *, restart: bool) -> Iterator[Launch]:
        """Follow a launch until the body ends, and tell how it ended."""
        launch = self._under_way[subject.id] = Launch(subject, restart, self.tell)
        launch.begin()
        try:
            yield launch
        except asyncio.CancelledError:
            launch.end("cancelled")
            raise
        except Exception as error:  # whatever it is, the launch is over, and the error goes on
            self._failed(launch, error)
            raise
        else:
            launch.end("launched", status=KernelStatus(Phase.RUNNING))
        finally:
            if self._under_way.get(subject.id) is launch:
                del self._under_way[subject.id]

    def _failed(self, launch: Launch, error: Exception) -> None:
        cause = error.__cause__ if isinstance(error, LaunchHTTPError) else error
        status = cause.status if isinstance(cause, LaunchError) else None
        logs = cause.log_tail if isinstance(cause, LaunchError) else ""
        self._keep(launch.subject, str(cause), logs)
        failed = KernelStatus(Phase.FAILED, reason=status.reason if status is not None else "")
        launch.end("failed", _for_everybody(cause), failed)

    def died(self, subject: Subject, status: KernelStatus, logs: str) -> None:
        """Keep the last words of a kernel that ended without being asked to."""
        self._keep(subject, status.sentence(), logs)

    def tell_death(self, subject: Subject, status: KernelStatus, *, restarting: bool) -> None:
        """Tell of a death."""
        self.tell(subject.event("died", status, status.sentence(), restarting=restarting))

    def _keep(self, subject: Subject, message: str, logs: str) -> None:
        self._last_words.pop(subject.id, None)
        self._last_words[subject.id] = LastWords(subject.user, message, shortened(logs))
        while len(self._last_words) > MOST_ENDED:
            self._last_words.popitem(last=False)


def shortened(logs: str) -> str:
    """Return the end of a text, as long as it may be."""
    return logs.encode(errors="replace")[-LONGEST_LOGS:].decode(errors="ignore")


def _for_everybody(error: BaseException | None) -> str:
    """Say why a launch failed, without the words of whoever asked for it."""
    if isinstance(error, ParameterError):
        return "it was refused"
    return str(error) if isinstance(error, RemoteKernelError) else "it failed; see the server's log"
