"""Following one pod from its creation to its end: the shared watch, and events only while its start is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import Changes, ListWatch
from kubernetes_kernel_provider.statuses import GONE, Event, Verdict, judge_event, needs_events
from kubernetes_kernel_provider.watches import event_key
from remote_kernel_provider.lifecycle import KernelStatus, Phase
from remote_kernel_provider.private_loop import within

SLOW = 1.5
"""Seconds after which a start is slow enough to ask for events: the watch of them tells of all pods of a namespace."""

UNTOLD = Verdict(
    KernelStatus(
        Phase.PULLING,
        reason="Pulling",
        message="its image is pulled or its volumes are mounted; only events tell which of them, and this host may not "
        "read those: grant it list and watch of events",
    )
)


class PodFollower:
    """Tells one pod's statuses.

    Parameters
    ----------
    uid
        Of the pod.
    changes
        What the shared watch tells of the pod.
    events
        Gives the watch of its namespace's events.
    """

    def __init__(
        self,
        uid: str,
        changes: Changes,
        events: Callable[[], ListWatch[Event]],
    ) -> None:
        self._uid = uid
        self._changes = changes
        self._events = events
        self._watches_events = False
        self._event: Event | None = None
        self._events_refused = False
        self._slow_at = time.monotonic() + SLOW
        self._blamed = ("", 0.0)

    async def statuses(self, first: Verdict) -> AsyncIterator[KernelStatus]:
        """Yield the present status and each change, the end as the last.

        Parameters
        ----------
        first
            The present verdict.
        """
        verdict: Verdict | None = first
        last = None
        async with AsyncExitStack() as watching:
            while verdict is not None:
                explained = self._explained(verdict)
                status = explained.status
                patience = self._patience_left(explained)
                if not status.phase.ended and patience is not None and patience <= 0:
                    status = explained.given_up()
                if status != last:
                    yield status
                    last = status
                if status.phase.ended:
                    return
                if status.phase is Phase.RUNNING:
                    await watching.aclose()
                    self._watches_events = False
                elif self._is_unexplained(verdict) and time.monotonic() >= self._slow_at:
                    self._watches_events = True
                    await watching.enter_async_context(self._events().follow(event_key(self._uid), self._changes))
                verdict = await self._next(verdict, patience)
        yield GONE

    def _explained(self, verdict: Verdict) -> Verdict:
        if self._events_refused and needs_events(verdict):
            return UNTOLD
        return judge_event(self._event, verdict)

    def _is_unexplained(self, verdict: Verdict) -> bool:
        """Whether events would tell more than is told."""
        return needs_events(verdict) and not self._watches_events

    def _patience_left(self, verdict: Verdict) -> float | None:
        """Return for how many more seconds to wait for something better; None = for ever."""
        if verdict.patience is None or verdict.status.phase is Phase.RUNNING:
            self._blamed = ("", 0.0)
            return None
        now = time.monotonic()
        if verdict.status.reason != self._blamed[0]:
            self._blamed = (verdict.status.reason, now)
        return self._blamed[1] + verdict.patience - now

    async def _next(self, verdict: Verdict, patience: float | None) -> Verdict | None:
        """Return the pod's verdict after the next change, or after the time until something is due."""
        due = [patience] if patience is not None else []
        if self._is_unexplained(verdict):
            due.append(self._slow_at - time.monotonic())
        try:
            change = await within(max(0.0, min(due)) if due else None, self._changes.get())
        except asyncio.TimeoutError:
            return verdict
        if change.key == self._uid:
            if isinstance(change.value, ClusterError):
                raise change.value
            return change.value
        if isinstance(change.value, ClusterError):
            self._events_refused = True
        elif change.value is not None:
            self._event, self._events_refused = change.value, False
        return verdict
