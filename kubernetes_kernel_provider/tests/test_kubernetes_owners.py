"""Leases: how a host shows that it lives, and what others make of it when it no longer does."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest
from cluster_users import KERNELS
from hosts import Leases, host_elsewhere, remote_kernel

from kubernetes_kernel_provider import deaths, leases
from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import HostState, OwnerSelector
from remote_kernel_provider.running import find_running
from remote_kernel_provider.sweep import find_orphans, sweep_dead
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

SOON = 0.5

AT_ONCE = -2.0
"""A confirmation that need not be waited for, however the seconds of the API server's clock are rounded."""


@pytest.fixture
def held(in_namespace) -> Leases:
    """The leases of the test's namespace."""
    return Leases(in_namespace)


@pytest.fixture
def elsewhere(kernels, tmp_path) -> Iterator[Kernels]:
    """A host of another machine: it sees no lock of this one's."""
    there = host_elsewhere(tmp_path / "elsewhere")
    yield there
    run(there.host.close())


@pytest.fixture
def left(kernels, held) -> Callable[[str], KernelResource]:
    """Make a kernel whose host was killed, and whose lease has run out."""

    def make(instance: str = "") -> KernelResource:
        with OtherHost("k8skp", "light", instance) as other:
            resource = other.resource()
        for lease in held.all():
            held.expire(lease)
        return resource

    return make


def written(seconds: float) -> str:
    """Return a Unix time as leases hold it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def orphans_of(kernels: Kernels) -> list[str]:
    return [orphan.resource.id for orphan in run(find_orphans(kernels.host, [kernels.lifecycle]))]


def state_for(kernels: Kernels, resource: KernelResource) -> HostState:
    return run(kernels.lifecycle.host_state(resource))


class TestTheLease:
    def test_is_one_for_all_kernels_and_goes_with_the_last(self, kernels, held):
        first, second = kernels.start("light"), kernels.start("light")
        lease = held.one()
        owner = first.resource.owner
        assert lease.metadata.labels["remote-kernel-provider/host"] == owner.host_id
        assert lease.metadata.labels["remote-kernel-provider/instance"] == owner.instance
        assert lease.spec.lease_duration_seconds == 1800
        run(first.kill())
        assert held.one().metadata.uid == lease.metadata.uid
        run(second.kill())
        assert held.all() == []

    def test_is_renewed_by_one_timer_and_made_anew(self, kernels, held, monkeypatch):
        monkeypatch.setattr(leases, "RENEWAL", SOON)
        kernels.start("light")
        until(lambda: held.one().spec.renew_time, 10, "the first renewal")
        renewed = held.one().spec.renew_time
        until(lambda: held.one().spec.renew_time > renewed, 10, "the second renewal")
        held.delete(held.one())
        until(held.all, 10, "a lease again")

    def test_is_renewed_as_soon_as_the_cluster_answers(self, through_relay, relay, held, monkeypatch, caplog):
        monkeypatch.setattr(leases, "RENEWAL", SOON)
        monkeypatch.setattr(leases, "RETRY", SOON)
        caplog.set_level("INFO")
        through_relay.start("light")
        relay.cut()
        until(lambda: "was not renewed" in caplog.text, 10, "a renewal that fails")
        held.expire(held.one())
        relay.mend()
        until(lambda: held.one().spec.renew_time.year > 2020, 10, "a renewal")

    def test_is_not_needed_for_what_fails(self, kernels, held):
        kernels.add_spec("failing", ("python", "-c", "raise SystemExit(3)", "{connection_file}"))
        with pytest.raises(Exception, match="exit code 3"):
            kernels.start("failing")
        assert held.all() == []

    def test_comes_again_with_the_server_that_adopts(self, kernels, held, left, elsewhere):
        resource = left("server-1")
        expired = held.one()
        assert state_for(elsewhere, resource).word == "unknown"
        manager = run(adopt(kernels.host, resource))
        assert held.one().metadata.uid == expired.metadata.uid
        assert held.one().spec.renew_time > expired.spec.renew_time
        assert leases.SEEN_EXPIRED not in held.one().metadata.annotations
        assert state_for(elsewhere, resource).word == "alive"
        run(manager.kill())
        assert held.all() == []


class TestDeath:
    def test_a_dead_hosts_kernel_is_swept_from_elsewhere(
        self, kernels, held, left, elsewhere, in_namespace, monkeypatch
    ):
        living = kernels.start("light")
        resource = left()
        dead = next(each for each in held.all() if each.spec.renew_time and each.spec.renew_time.year == 2020)
        for lease in held.all():
            if lease.metadata.uid != dead.metadata.uid:
                held.delete(lease)  # nothing is known of the living host: that is no proof either
        assert state_for(elsewhere, resource).word == "unknown"  # the first look is only noted
        assert resource.id not in orphans_of(elsewhere)
        monkeypatch.setattr(deaths, "CONFIRMATION", AT_ONCE)
        assert state_for(elsewhere, resource).word == "dead"
        assert resource.id in orphans_of(elsewhere)
        run(sweep_dead(elsewhere.host))
        assert state_for(elsewhere, living.resource).word == "unknown"
        assert run(living.is_alive())
        until(lambda: len(in_namespace.objects()) == 2, 20, "only the living host's pod and Secret are there")

    def test_a_living_hosts_kernel_is_not(self, kernels, held, elsewhere, monkeypatch):
        resource = kernels.start("light").resource
        monkeypatch.setattr(deaths, "CONFIRMATION", AT_ONCE)
        assert state_for(elsewhere, resource) == HostState("alive")
        assert resource.id not in orphans_of(elsewhere)
        run(sweep_dead(elsewhere.host))
        assert state_for(kernels, resource) == HostState("alive")
        found, _ = run(find_running({"kubernetes": elsewhere.lifecycle}, OwnerSelector(host_id=resource.owner.host_id)))
        assert [kernel.host for kernel in found] == ["alive"]

    def test_who_renews_after_the_first_look_lives(self, kernels, held, left, elsewhere, monkeypatch):
        resource = left()
        assert state_for(elsewhere, resource).word == "unknown"
        noted = float(held.one().metadata.annotations[leases.SEEN_EXPIRED])
        monkeypatch.setattr(deaths, "CONFIRMATION", AT_ONCE)
        held.patch(held.one(), {"renewTime": written(noted + 10)})
        assert state_for(elsewhere, resource).word == "alive"
        # When that runs out in its turn, the old note counts no longer.
        held.patch(held.one(), {"renewTime": written(noted - 9), "leaseDurationSeconds": 10})
        seen = [HostState("alive")]
        while seen[-1].word == "alive":  # for a second or two: the API server tells the time in whole ones
            assert time.time() < noted + 20
            seen.append(state_for(elsewhere, resource))
        assert seen[-1].word == "unknown"
        assert state_for(elsewhere, resource).word == "dead"

    def test_a_copied_data_folder_is_no_proof(self, kernels, tmp_path):
        """The same host id, and locks that are others': a free one says nothing of a host that lives elsewhere."""
        resource = kernels.start("light").resource
        copy = tmp_path / "copy"
        copy.mkdir(mode=0o700)
        shutil.copy(kernels.host.identity.folder / "host.json", copy)
        there = host_elsewhere(copy)
        assert there.host.identity.host_id == kernels.host.identity.host_id
        assert there.host.identity.dead_since(resource.owner) is not None
        assert state_for(there, resource).word == "alive"  # its lease says so
        assert resource.id not in orphans_of(there)
        run(there.host.close())

    def test_a_servers_kernel_waits_for_it(self, kernels, left, elsewhere, monkeypatch):
        resource = left("server-7")
        monkeypatch.setattr(deaths, "CONFIRMATION", AT_ONCE)
        state_for(elsewhere, resource)
        elsewhere.host.settings.sweep_servers_after = 10.0**12
        (orphan,) = run(find_orphans(elsewhere.host, [elsewhere.lifecycle]))
        assert (orphan.resource.id, orphan.adoptable) == (resource.id, True)


class TestRemains:
    def test_what_lost_its_pod_goes_when_its_host_is_dead(self, kernels, left, in_namespace):
        kept, orphaned = kernels.start("light"), left()
        for resource in (kept.resource, orphaned):
            in_namespace.api.delete_namespaced_pod(
                resource.data["pod"], in_namespace.name, grace_period_seconds=1, propagation_policy="Orphan"
            )
        until(lambda: len(in_namespace.objects()) == 4, 30, "both Secrets and leases are there, and no pod")
        named = run(kernels.lifecycle.clear(dry_run=True))
        assert sorted(each.kind for each in named) == ["lease", "secret"]
        assert all(each.name.startswith(f"{in_namespace.name}/") for each in named)
        assert len(in_namespace.objects()) == 4
        assert run(kernels.lifecycle.clear(dry_run=False)) == named
        assert len(in_namespace.objects()) == 2
        assert any(kept.resource.data["pod"] in name for name in in_namespace.objects())


class TestWithoutLeases:
    def test_a_host_that_may_not_have_one_says_so_and_is_swept_by_force_alone(
        self, kernels, held, elsewhere, users, monkeypatch, caplog, tmp_path
    ):
        monkeypatch.setenv("KUBECONFIG", str(users.kubeconfig("modest", KERNELS)))
        with OtherHost("k8skp", "light") as other:
            resource = other.resource()
            own = kernels.start("light")
            assert len([record for record in caplog.records if "has no lease" in record.getMessage()]) == 1
            assert held.all() == []
            assert state_for(kernels, resource).word == "alive"
        assert state_for(elsewhere, resource).word == "unknown"
        run(own.kill())
        # Whoever runs this sees the namespace alone, and no other backend.
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/of-the-tests")
        monkeypatch.setenv("RKP_DATA_FOLDER", str(tmp_path / "another"))
        (kept,) = json.loads(remote_kernel("sweep", "--all-owners", "--dry-run", "--json").stdout)["kernels"]
        assert (kept["id"], kept["remove"]) == (resource.kernel_id, False)
        assert "--force removes it" in kept["kept"]
        assert remote_kernel("sweep", "--all-owners", "--force").stdout.endswith("Removed 1 kernel(s).\n")
