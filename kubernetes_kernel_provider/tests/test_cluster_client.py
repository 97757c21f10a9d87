"""The client: what is wrong with a kubeconfig is said, and a watch survives every way in which one can end."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from kubernetes_kernel_provider.client import list_watch
from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.configuration import NoClusterError, load_configuration
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.list_watch import EVERYTHING, Change, Changes, ListWatch
from remote_kernel_provider.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def write_kubeconfig(tmp_path, monkeypatch):
    def write(server: str = "http://127.0.0.1:9", user: dict | None = None, **cluster) -> Path:
        file = tmp_path / "kubeconfig"
        context = {"cluster": "c", "user": "u", "namespace": "team"}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user or {"token": "a-token"}}],
            "contexts": [{"name": "here", "context": context}],
        }  # fmt: skip
        file.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(file))
        return file

    return write


@pytest.fixture
def write_plugin(tmp_path):
    def write(script: str) -> dict:
        file = tmp_path / "plugin"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(file)}}

    return write


def credential(token: str | None) -> str:
    document = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {} if token is None else {"token": token},
    }
    return json.dumps(document)


# Configuration


async def test_no_kubeconfig_and_no_pod():
    with pytest.raises(NoClusterError, match="set KUBECONFIG"):
        await load_configuration()


async def test_the_kubeconfig_is_read_when_it_is_needed(write_kubeconfig):
    write_kubeconfig()
    loaded = await load_configuration()
    assert (loaded.client.host, loaded.namespace) == ("http://127.0.0.1:9", "team")
    assert "context 'here'" in loaded.source


async def test_a_context_that_does_not_exist(write_kubeconfig):
    write_kubeconfig()
    with pytest.raises(ConfigurationError, match="elsewhere"):
        await load_configuration("elsewhere")


@pytest.mark.parametrize("content", ["", "[]", "{", "clusters: 3\ncontexts: []\nusers: []\n", "current-context: x\n"])
async def test_a_malformed_kubeconfig(write_kubeconfig, content):
    write_kubeconfig().write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await load_configuration()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'log in first' >&2; exit 4", "returned 4.*log in first"),
        ("echo nonsense", "decode"),
        (f"echo '{credential('')[:-2]}'", "decode"),
        (f"echo '{credential(None)}'", "neither a token"),
    ],
)
async def test_an_exec_plugin_that_fails_is_an_error(write_kubeconfig, write_plugin, script, words):
    write_kubeconfig(user=write_plugin(script))
    with pytest.raises(ConfigurationError, match=words):
        await load_configuration()


async def test_an_exec_plugin_that_is_not_there(write_kubeconfig):
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "installHint": "get it"}
    }
    write_kubeconfig(user=user)
    with pytest.raises(ConfigurationError, match=r"no-such-plugin.*get it"):
        await load_configuration()


async def test_an_exec_plugin_that_hangs(write_kubeconfig, write_plugin, monkeypatch):
    monkeypatch.setattr("kubernetes_kernel_provider.client.configuration.PLUGIN_TIMEOUT", 0.2)
    write_kubeconfig(user=write_plugin("exec sleep 1"))
    with pytest.raises(ConfigurationError, match=r"did not end within 0.2 s"):
        await load_configuration()
    # The loader keeps the process, which has to end before this test's loop does.
    await asyncio.to_thread(psutil.wait_procs, psutil.Process().children(), 5)
    await asyncio.sleep(0.1)


async def test_proxies(write_kubeconfig, monkeypatch):
    write_kubeconfig(**{"proxy-url": "socks5://127.0.0.1:1"})
    with pytest.raises(ConfigurationError, match="socks5"):
        await load_configuration()
    write_kubeconfig("https://10.1.2.3:6443", **{"insecure-skip-tls-verify": True})
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert (await load_configuration()).client.client_session_kwargs is None
    monkeypatch.setenv("NO_PROXY", "example.test,10.0.0.0/8")
    assert (await load_configuration()).client.client_session_kwargs == {"trust_env": False}


# Requests, to a server that does what a cluster does not do on demand


@asynccontextmanager
async def serving(handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def client():
    client = ClusterClient()
    yield client
    await client.close()


async def test_credentials_that_ran_out_are_fetched_anew(write_kubeconfig, write_plugin, client, tmp_path):
    seen = []

    async def handler(request):
        seen.append(request.headers.get("Authorization"))
        if seen[-1] == "Bearer old":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response({"gitVersion": "v1"})

    ran = tmp_path / "ran"
    script = f"[ -e {ran} ] && exec echo '{credential('new')}'; touch {ran}; echo '{credential('old')}'"
    async with serving(handler) as server:
        write_kubeconfig(server, user=write_plugin(script))
        assert await client.request("GET", "/version") == {"gitVersion": "v1"}
    assert seen == ["Bearer old", "Bearer new"]


async def test_credentials_that_stay_wrong_are_an_error(write_kubeconfig, client):
    async def handler(request):
        return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)

    async with serving(handler) as server:
        write_kubeconfig(server)
        with pytest.raises(ClusterError, match="Unauthorized") as failure:
            await client.request("GET", "/version")
    assert failure.value.is_refusal


async def test_an_answer_that_is_not_json(write_kubeconfig, client):
    async def handler(request):
        return web.Response(text="<h1>Please log in</h1>", content_type="text/html")

    async with serving(handler) as server:
        write_kubeconfig(server)
        with pytest.raises(ClusterUnreachableError, match="speaks no JSON"):
            await client.request("GET", "/api/v1/pods")


async def test_nobody_answers(write_kubeconfig, client):
    write_kubeconfig()
    with pytest.raises(ClusterUnreachableError, match=r"127\.0\.0\.1:9 cannot be reached") as failure:
        await client.request("GET", "/version")
    assert failure.value.code == 0


# The watch


def pod(name: str, version: int, **more) -> dict:
    return {"metadata": {"uid": name, "resourceVersion": str(version)}, **more}


def event(kind: str, item: dict) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


class Scripted:
    """Answers lists with what it holds, and each watch by the next function of its script."""

    def __init__(self, *script):
        self.items, self.version = [pod("a", 5)], 10
        self.script = list(script)
        self.lists, self.watches = 0, []
        self.held = asyncio.Event()

    async def handle(self, request):
        if "watch" not in request.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": self.items})
        self.watches.append((request.query["resourceVersion"], time.monotonic()))
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.script:
            self.held.set()
        await (self.script.pop(0) if self.script else hold)(response)
        return response


async def hold(response):
    await asyncio.sleep(3600)


async def end(response):
    pass


def send(*lines, then=end):
    async def step(response):
        for line in lines:
            await response.write(line)
        await then(response)

    return step


@asynccontextmanager
async def watched(scripted, write_kubeconfig, client, key="a") -> AsyncIterator[Changes]:
    async with serving(scripted.handle) as server:
        write_kubeconfig(server)
        watch = ListWatch(client, "/pods", {}, lambda item, deleted: (item.get("word"), deleted))
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
        async with ListWatch(client, "/pods", {}, lambda item, _: item).follow(EVERYTHING, changes):
            told = await following(changes)
    assert isinstance(told.value, ClusterError)
    assert told.value.code == 403


async def test_nobody_follows_and_nothing_runs(write_kubeconfig, client):
    scripted = Scripted()
    async with serving(scripted.handle) as server:
        write_kubeconfig(server)
        watch = ListWatch(client, "/pods", {}, lambda item, _: item["metadata"]["uid"])
        first, second = Changes(), Changes()
        async with watch.follow("a", first), watch.follow(EVERYTHING, second):
            assert [(await following(each)).value for each in (first, second)] == ["a", "a"]
            assert scripted.lists == 1
        assert not watch.is_followed
        assert not [task for task in asyncio.all_tasks() if "ListWatch" in repr(task.get_coro())]
