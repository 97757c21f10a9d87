"""Sweeping where backends know of dead hosts themselves, and where something cannot be deleted."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from remote_kernel_provider import sweep
from remote_kernel_provider.cli import sweeping
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.owner import ALIVE, DEAD, HostState, Owner


class Shared(LocalLifecycleManager):
    """A backend that many machines use: it knows itself which hosts are dead."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.abandoned = [resource(f"r{number}", "client-1") for number in range(40)]
        self.stuck, self.deleted, self.at_a_time, self.most = {"r1"}, [], 0, 0
        self.left = [Leftover("lease", "team/host", "its host is dead")]

    async def find(self, selector):
        return []

    async def find_abandoned(self):
        return self.abandoned

    async def host_state(self, resource):
        return HostState(ALIVE) if resource.id == "r0" else HostState(DEAD, 1.0)

    async def delete(self, resource, grace):
        self.at_a_time += 1
        self.most = max(self.most, self.at_a_time)
        await asyncio.sleep(0)
        self.at_a_time -= 1
        if resource.id in self.stuck:
            raise RemoteKernelError(f"{resource.id} is kept")
        self.deleted.append(resource.id)

    async def belongings(self, resource):
        return [Leftover("pod", f"team/{resource.id}"), Leftover("secret", f"team/{resource.id}")]

    async def clear(self, *, dry_run, swept=()):
        left = [] if self.abandoned and not swept and dry_run else self.left
        if not dry_run:
            self.left = []
        return left


def resource(name: str, instance: str) -> KernelResource:
    return KernelResource("local", name, f"k-{name}", "local/py", name, Owner("ann", "elsewhere", instance), 3.0)


@pytest.fixture
def host(tmp_path, monkeypatch) -> Host:
    host = Host(RemoteKernelSettings(data_folder=str(tmp_path)))
    shared = Shared(host.settings, host.identity)
    monkeypatch.setitem(host._lifecycles, "local", shared)
    monkeypatch.setattr(host, "lifecycles", lambda: {"local": shared})
    monkeypatch.setattr(sweeping, "current_host", lambda: host)
    return host


async def test_what_a_backend_proves_dead_is_swept_and_one_that_is_stuck_is_in_nobodys_way(host, caplog):
    await sweep.sweep_dead(host)
    (shared,) = host.active_lifecycles()
    assert sorted(shared.deleted) == sorted(f"r{number}" for number in range(2, 40))
    assert shared.most == sweep.AT_A_TIME
    assert shared.left == []
    assert "Kernel k-r1 of a dead host could not be swept: r1 is kept" in caplog.text


async def test_a_sweep_that_finds_no_dead_host_asks_for_nothing_else(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = [resource("r0", "client-1")]
    await sweep.sweep_dead(host)
    assert shared.left


async def test_a_launch_is_one_orphan_however_often_it_is_found(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = [resource("r5", "server-1"), resource("r5", "server-1")]
    (orphan,) = await sweep.find_orphans(host, [shared])
    assert (orphan.dead_since, orphan.adoptable) == (1.0, False)


def test_the_command_names_and_removes_what_is_left_beside_kernels(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = []
    listed = CliRunner().invoke(sweeping.sweep_command, ["--dry-run"])
    assert listed.output == "Left by a dead program: lease team/host\n"
    assert shared.left
    swept = CliRunner().invoke(sweeping.sweep_command, [])
    assert swept.output.endswith("Removed 0 kernel(s) and 1 other object(s).\n")
    assert shared.left == []
    assert "Nothing to sweep." in CliRunner().invoke(sweeping.sweep_command, []).output


def test_json_names_all_that_is_removed_and_why(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = [resource("r1", "client-1"), resource("r2", "client-2")]
    lease = {"kind": "lease", "name": "team/host", "reason": "its host is dead", "where": "local", "kernel": None}

    def objects_of(name: str, removed: bool) -> list[dict[str, object]]:
        common = {"reason": "its program is dead", "where": "local", "kernel": f"k-{name}", "removed": removed}
        return [{"kind": kind, "name": f"team/{name}", **common} for kind in ("pod", "secret")]

    found = json.loads(CliRunner().invoke(sweeping.sweep_command, ["--dry-run", "--json"]).stdout)
    assert found["dry_run"] is True
    assert found["objects"] == [*objects_of("r1", False), *objects_of("r2", False), {**lease, "removed": False}]
    assert [(kernel["id"], kernel["remove"], kernel["removed"]) for kernel in found["kernels"]] == [
        ("k-r1", True, False), ("k-r2", True, False),
    ]  # fmt: skip
    assert shared.deleted == []

    # One that is stuck stands in nobody's way, and is told.
    command = CliRunner().invoke(sweeping.sweep_command, ["--json"])
    swept = json.loads(command.stdout)
    assert isinstance(command.exception, RemoteKernelError)
    assert swept["objects"] == [*objects_of("r1", False), *objects_of("r2", True), {**lease, "removed": True}]
    assert [(kernel["removed"], kernel["error"]) for kernel in swept["kernels"]] == [(False, "r1 is kept"), (True, "")]


async def test_a_sweep_ends_before_what_it_uses_is_closed(host, monkeypatch):
    (shared,) = host.active_lifecycles()
    said: list[str] = []
    under_way = asyncio.Event()

    async def find_abandoned():
        under_way.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("the sweep has ended")

    async def close():
        said.append("closed")

    monkeypatch.setattr(shared, "find_abandoned", find_abandoned)
    monkeypatch.setattr(shared, "close", close)
    host.in_background(sweep.sweep_dead(host))
    await under_way.wait()
    await host.close()
    assert said == ["the sweep has ended", "closed"]


async def test_a_backend_that_is_away_at_the_end_is_closed_all_the_same(host, monkeypatch, caplog):
    (shared,) = host.active_lifecycles()
    closed = []

    async def away(selector):
        raise RemoteKernelError("nobody answers")

    async def close():
        closed.append(1)

    monkeypatch.setattr(shared, "find", away)
    monkeypatch.setattr(shared, "close", close)
    assert host.instance
    await host.end()
    assert closed == [1]
    assert "could not be ended with their program; a sweep will: nobody answers" in caplog.text
