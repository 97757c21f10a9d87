"""The watch survives every way in which one can end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from api_servers import Scripted, end, event, hold, pod, send, serving

from kubernetes_kernel_provider.client import list_watch
from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import EVERYTHING, Change, Changes, ListWatch


@asynccontextmanager
async def watched(scripted, write_kubeconfig, client, key="a") -> AsyncIterator[Changes]:
    async with serving(scripted.handle) as server:
        write_kubeconfig(server)
        watch = ListWatch(client, "/pods", {}, lambda item, deleted, _: (item.get("word"), deleted))
        changes = Changes()
        async with watch.follow(key, changes):
            yield changes


async def following(changes: Changes) -> Change:
    return await asyncio.wait_for(changes.get(), 5)


async def test_a_list_and_its_changes(write_kubeconfig, client):
    changed, gone = pod("a", 11, word="new"), pod("a", 12, word="last")
    scripted = Scripted(send(event("MODIFIED", changed), event("MODIFIED", changed), event("DELETED", gone), then=hold))
    async with watched(scripted, write_kubeconfig, client) as changes:
        values = [(await following(changes)).value for _ in range(4)]
    assert values == [(None, False), ("new", False), ("last", True), None]
    assert (scripted.lists, [version for version, _ in scripted.watches]) == (1, ["10"])


async def test_a_watch_resumes_where_it_ended(write_kubeconfig, client):
    bookmark = event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "20"}})
    scripted = Scripted(send(bookmark), send(event("MODIFIED", pod("a", 21, word="after")), then=hold))
    async with watched(scripted, write_kubeconfig, client) as changes:
        await following(changes)
        assert (await following(changes)).value == ("after", False)
    assert (scripted.lists, [version for version, _ in scripted.watches]) == (1, ["10", "20"])


async def test_a_version_that_the_cluster_forgot_begins_with_a_list(write_kubeconfig, client):
    async def forget(response):
        scripted.items, scripted.version = [], 30
        await response.write(event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}))

    scripted = Scripted(forget)
    async with watched(scripted, write_kubeconfig, client) as changes:
        await following(changes)
        assert (await following(changes)).value is None  # it went while nobody looked
        await asyncio.wait_for(scripted.held.wait(), 5)
    assert (scripted.lists, [version for version, _ in scripted.watches]) == (2, ["10", "30"])


async def test_a_silent_connection_is_given_up(write_kubeconfig, client, monkeypatch):
    monkeypatch.setattr(list_watch, "SILENCE", 0.2)
    scripted = Scripted(hold, send(event("MODIFIED", pod("a", 11, word="after"))))
    async with watched(scripted, write_kubeconfig, client) as changes:
        await following(changes)
        assert (await following(changes)).value == ("after", False)
    assert scripted.lists == 1


@pytest.mark.parametrize("step", [end, send(b"<h1>log in</h1>\n"), send(b'{"neither": "kind nor object"}\n')])
async def test_watches_that_end_at_once_are_spaced_out(write_kubeconfig, client, step, monkeypatch):
    monkeypatch.setattr(list_watch, "FIRST_PAUSE", 0.05)
    scripted = Scripted(*[step] * 100)
    async with watched(scripted, write_kubeconfig, client) as changes:
        await following(changes)
        await asyncio.sleep(1)
    # 0.05 s, doubled each time, and half of that at least.
    assert 3 <= len(scripted.watches) <= 7


async def test_who_may_not_watch_is_told(write_kubeconfig, client):
    async def handler(request):
        status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "pods is forbidden"}
        return web.json_response(status, status=403)

    async with serving(handler) as server:
        write_kubeconfig(server)
        changes = Changes()
        async with ListWatch(client, "/pods", {}, lambda item, *_: item).follow(EVERYTHING, changes):
            told = await following(changes)
    assert isinstance(told.value, ClusterError)
    assert told.value.code == 403


async def test_who_follows_later_is_told_as_well_that_he_may_not(write_kubeconfig, client):
    async def handler(request):
        status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "events is forbidden"}
        return web.json_response(status, status=403)

    async with serving(handler) as server:
        write_kubeconfig(server)
        watch, first, second = ListWatch(client, "/events", {}, lambda item, *_: item), Changes(), Changes()
        async with watch.follow("a", first):
            await following(first)
            async with watch.follow("b", second):
                told = second.get_nowait()  # and not only after the next attempt
    assert (told.key, told.value.code) == ("b", 403)


async def test_several_objects_of_one_key(write_kubeconfig, client):
    """As the events of a pod: its followers are told what is made of all of them, and others nothing."""

    def of(uid, name, version):
        return {"metadata": {"uid": name, "resourceVersion": str(version)}, "of": uid, "at": version}

    scripted = Scripted(send(event("ADDED", of("a", "e3", 13)), event("ADDED", of("a", "e4", 9)), then=hold))
    scripted.items = [of("a", "e1", 11), of("b", "e2", 12)]
    async with serving(scripted.handle) as server:
        write_kubeconfig(server)
        read = lambda item, _, known: max(item["at"], known or 0)  # noqa: E731
        watch, changes = ListWatch(client, "/events", {}, read, lambda item: item["of"]), Changes()
        async with watch.follow("a", changes):
            told = [await following(changes), await following(changes)]
            assert watch.known("b") == 12
    assert [(change.key, change.value) for change in told] == [("a", 11), ("a", 13)]
    assert changes.empty()


def test_pauses_double_up_to_a_longest_and_are_not_in_step():
    backoff = Backoff(1.0, 8.0)
    pauses = [backoff.seconds() for _ in range(6)]
    for seconds, full in zip(pauses, (1, 2, 4, 8, 8, 8), strict=True):
        assert full / 2 <= seconds <= full
    assert len({pauses[3], pauses[4], pauses[5]}) == 3
    backoff.reset()
    assert backoff.seconds() <= 1


async def test_nobody_follows_and_nothing_runs(write_kubeconfig, client):
    scripted = Scripted()
    async with serving(scripted.handle) as server:
        write_kubeconfig(server)
        watch = ListWatch(client, "/pods", {}, lambda item, *_: item["metadata"]["uid"])
        first, second = Changes(), Changes()
        async with watch.follow("a", first), watch.follow(EVERYTHING, second):
            assert [(await following(each)).value for each in (first, second)] == ["a", "a"]
            assert scripted.lists == 1
        assert not watch.is_followed
        assert not [task for task in asyncio.all_tasks() if "ListWatch" in repr(task.get_coro())]
