"""Following one pod from its creation to its end: the shared watch, and events only while its start is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from kubernetes_kernel_provider.client.api import Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import EVERYTHING, Changes, ListWatch
from kubernetes_kernel_provider.statuses import GONE, Verdict, judge, judge_deleted, judge_events
from remote_kernel_provider.lifecycle import KernelStatus, Phase

SLOW = 1.5
"""Seconds after which a start is slow enough to ask for events: they carry no labels, so each pod has its own watch."""

UNTOLD = Verdict(
    KernelStatus(
        Phase.PULLING,
        reason="Pulling",
        message="its image is pulled or its volumes are mounted; only events tell which of them, and this host may not "
        "read those: grant it list and watch of events",
    )
)


def read_pod(pod: Document, deleted: bool) -> Verdict:
    """Make of a pod what its followers need."""
    return Verdict(judge_deleted(pod), 0) if deleted else judge(pod)


class PodFollower:
    """Tells one pod's statuses.

    Parameters
    ----------
    uid
        Of the pod.
    changes
        What the shared watch tells of the pod.
    watch_events
        Makes a watch of the pod's events.
    """

    def __init__(
        self,
        uid: str,
        changes: Changes,
        watch_events: Callable[[], ListWatch[Document]],
    ) -> None:
        self._uid = uid
        self._changes = changes
        self._watch_events = watch_events
        self._events: dict[str, Document] | None = None
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
                    self._events = None
                elif self._events is None and time.monotonic() >= self._slow_at:
                    self._events = {}
                    await watching.enter_async_context(self._watch_events().follow(EVERYTHING, self._changes))
                verdict = await self._next(verdict, patience)
        yield GONE

    def _explained(self, verdict: Verdict) -> Verdict:
        if self._events_refused and verdict.status.phase is Phase.STARTING:
            return UNTOLD
        return judge_events((self._events or {}).values(), verdict)

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
        if self._events is None and not self._events_refused and verdict.status.phase is not Phase.RUNNING:
            due.append(self._slow_at - time.monotonic())
        try:
            change = await asyncio.wait_for(self._changes.get(), max(0.0, min(due)) if due else None)
        except asyncio.TimeoutError:
            return verdict
        if change.key == self._uid:
            if isinstance(change.value, ClusterError):
                raise change.value
            return change.value
        if isinstance(change.value, ClusterError):
            self._events_refused = True
        elif self._events is not None and change.value is not None:
            self._events[change.key] = change.value
        return verdict
