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
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.owner import ALIVE, DEAD, HostState, Owner


class Shared(LocalLifecycleManager):
    """A backend that many machines use: it knows itself which hosts are dead."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.abandoned = [resource(f"r{number}", "client-1") for number in range(40)]
        self.stuck, self.deleted, self.at_a_time, self.most = {"r1"}, [], 0, 0
        self.left = ["lease of a dead host"]

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

    async def clear(self, *, dry_run):
        left = self.left
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


async def test_a_launch_is_one_orphan_however_often_it_is_found(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = [resource("r5", "server-1"), resource("r5", "server-1")]
    (orphan,) = await sweep.find_orphans(host, [shared])
    assert (orphan.dead_since, orphan.adoptable) == (1.0, False)


def test_the_command_names_and_removes_what_is_left_beside_kernels(host):
    (shared,) = host.active_lifecycles()
    shared.abandoned = []
    listed = CliRunner().invoke(sweeping.sweep_command, ["--dry-run"])
    assert listed.output == "Left by a dead program: lease of a dead host\n"
    assert shared.left
    assert json.loads(CliRunner().invoke(sweeping.sweep_command, ["--dry-run", "--json"]).output) == []
    swept = CliRunner().invoke(sweeping.sweep_command, [])
    assert swept.output.endswith("Removed 0 kernel(s) and 1 other object(s).\n")
    assert shared.left == []
    assert "Nothing to sweep." in CliRunner().invoke(sweeping.sweep_command, []).output
