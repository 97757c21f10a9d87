"""Following a pod: its events are watched only where they would tell something, and a cancellation is never lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kubernetes_kernel_provider import following
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import Change, Changes
from kubernetes_kernel_provider.following import PodFollower
from kubernetes_kernel_provider.statuses import Event, Verdict
from kubernetes_kernel_provider.watches import event_key
from remote_kernel_provider.lifecycle import KernelStatus, Phase
from remote_kernel_provider.private_loop import end_task

UID = "pod-1"
STARTING = Verdict(KernelStatus(Phase.STARTING))
RUNNING = Verdict(KernelStatus(Phase.RUNNING))
UNSCHEDULABLE = Verdict(KernelStatus(Phase.PENDING, reason="Unschedulable", message="0/1 nodes are available"))


class EventsWatch:
    """Stands for the watch of a namespace's events: says who follows it."""

    def __init__(self) -> None:
        self.followers: list[str] = []

    @asynccontextmanager
    async def follow(self, key: str, changes: Changes) -> AsyncIterator[None]:
        self.followers.append(key)
        try:
            yield
        finally:
            self.followers.remove(key)


class Followed:
    """A pod that is followed, and what is told of it."""

    def __init__(self, first: Verdict) -> None:
        self.changes, self.events = Changes(), EventsWatch()
        self._told: asyncio.Queue[KernelStatus] = asyncio.Queue()
        follower = PodFollower(UID, self.changes, lambda: self.events)  # type: ignore[arg-type, return-value]

        async def follow() -> None:
            async for status in follower.statuses(first):
                self._told.put_nowait(status)

        self.following = asyncio.ensure_future(follow())

    async def told(self) -> KernelStatus:
        return await asyncio.wait_for(self._told.get(), 5)

    def tell(self, value: object, key: str = UID) -> None:
        self.changes.put_nowait(Change(key, value))


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(following, "SLOW", 0.01)


async def test_events_are_watched_while_a_start_is_slow_and_unexplained():
    pod = Followed(UNSCHEDULABLE)
    assert (await pod.told()).reason == "Unschedulable"
    await asyncio.sleep(0.05)
    assert pod.events.followers == []  # the scheduler has said it all
    pod.tell(STARTING)
    assert (await pod.told()).phase is Phase.STARTING
    pod.tell(Event("1", "Pulling", 'Pulling image "acme/python"'), event_key(UID))
    assert (await pod.told()).reason == "Pulling"
    assert pod.events.followers == [event_key(UID)]
    pod.tell(RUNNING)
    assert (await pod.told()).phase is Phase.RUNNING
    assert pod.events.followers == []
    pod.tell(None)
    assert (await pod.told()).phase is Phase.GONE
    await asyncio.wait_for(pod.following, 5)


async def test_a_host_that_may_not_read_events_says_so():
    pod = Followed(STARTING)
    assert (await pod.told()).reason == ""
    pod.tell(ClusterError("events is forbidden", 403), event_key(UID))
    assert "grant it list and watch of events" in (await pod.told()).message
    await end_task(pod.following)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_comes_with_a_change_is_not_lost(turns, monkeypatch):
    """Whoever ends a launch waits for the end of whoever follows its pod: it would hang for as long as the pod does."""
    monkeypatch.setattr(following, "SLOW", 60)
    pod = Followed(STARTING)
    await pod.told()
    await asyncio.sleep(0.01)
    pod.tell(STARTING)
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(end_task(pod.following), 5)
    assert pod.following.cancelled()
