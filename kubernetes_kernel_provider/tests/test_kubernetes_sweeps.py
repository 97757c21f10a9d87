"""Where a host looks for kernels, and what of a dead one's it removes: exactly what was that one's."""

import json
from collections.abc import Iterator

import pytest
from cluster.fixtures import LIGHT, ClusterUnderTest, Namespace
from cluster_users import KERNELS
from hosts import Leases, dying_program, host_elsewhere, remote_kernel

from kubernetes_kernel_provider import deaths
from kubernetes_kernel_provider.client.api import ClusterClient
from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.sweep import sweep_dead
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

AT_ONCE = -2.0
"""A confirmation that need not be waited for, however the seconds of the API server's clock are rounded."""


@pytest.fixture
def apart(in_namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hosts that are made from now on give each kernel a namespace, and sweep only when they are told to."""
    monkeypatch.setenv("RKP_SHARED_NAMESPACE", "false")
    monkeypatch.setenv("RKP_SWEEP", "false")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/of-the-tests")


@pytest.fixture
def other_namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    """A namespace that is not the one of the host's kernels by default."""
    other = Namespace(cluster)
    yield other
    other.remove()


class Foreign:
    """Namespaces that somebody else made."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self._api = cluster.api
        self.names: list[str] = []

    def make(self, name: str, labels: dict[str, str], annotations: dict[str, str]) -> str:
        self._api.create_namespace({"metadata": {"name": name, "labels": labels, "annotations": annotations}})
        self.names.append(name)
        return name

    def remove(self) -> None:
        for name in self.names:
            self._api.delete_namespace(name)


@pytest.fixture
def foreign(cluster: ClusterUnderTest) -> Iterator[Foreign]:
    foreign = Foreign(cluster)
    yield foreign
    foreign.remove()


def is_left(cluster: ClusterUnderTest, name: str) -> bool:
    """Whether a namespace is there, and not about to end."""
    listed = cluster.api.list_namespace(field_selector=f"metadata.name={name}").items
    return any(found.metadata.deletion_timestamp is None for found in listed)


def made_for(cluster: ClusterUnderTest, host_id: str) -> set[str]:
    labels = f"app=remote-kernel-provider,component=namespace,remote-kernel-provider/host={host_id}"
    listed = cluster.api.list_namespace(label_selector=labels).items
    return {found.metadata.name for found in listed if found.metadata.deletion_timestamp is None}


def test_of_namespaces_those_of_dead_hosts_go_and_no_others(apart, kernels, cluster, foreign):
    host_id = kernels.host.identity.host_id
    with OtherHost("k8skp", "light") as dead, OtherHost("k8skp", "light") as living:
        left, kept = dead.resource(), living.resource()
        name = left.data["namespace"]
        program = dying_program("at_request('POST', 'pods', before=True)", "light")
        program.communicate(timeout=60)
        (empty,) = made_for(cluster, host_id) - {name, kept.data["namespace"]}
        # One that only has its labels, and one that somebody made with all that is written on it.
        written = cluster.api.read_namespace(name).metadata
        foreign.make(f"{name[:40]}-labels", written.labels, {})
        foreign.make(f"{name[:40]}-copied", written.labels, written.annotations)
        dead.kill()

        found = json.loads(remote_kernel("sweep", "--dry-run", "--json").stdout)
        of_left = {(each["kind"], each["name"]) for each in found["objects"] if each["kernel"] == left.kernel_id}
        pod = f"{name}/{left.data['pod']}"
        assert {("pod", pod), ("namespace", name)} <= of_left
        assert {kind for kind, _ in of_left} == {"pod", "secret", "namespace"}
        assert {each["name"] for each in found["objects"] if each["kind"] == "namespace"} == {name, empty}
        leases = [each["reason"] for each in found["objects"] if each["kind"] == "lease"]
        assert leases == ["its host is dead and has no kernels"] * 2
        assert not any(each["removed"] for each in found["objects"])
        assert is_left(cluster, name)

        swept = json.loads(remote_kernel("sweep", "--json").stdout)
        assert all(each["removed"] for each in swept["objects"])
        assert {(each["kind"], each["name"]) for each in swept["objects"]} == {
            (each["kind"], each["name"]) for each in found["objects"]
        }
        assert not any(is_left(cluster, each) for each in (name, empty))
        assert all(is_left(cluster, each) for each in (kept.data["namespace"], *foreign.names))
        assert run(kernels.lifecycle.status(kept)).phase is Phase.RUNNING
        living.kill()
        run(sweep_dead(kernels.host))
        assert not is_left(cluster, kept.data["namespace"])
    assert all(is_left(cluster, each) for each in foreign.names)


def test_a_namespace_of_a_host_elsewhere_goes_when_its_lease_proves_its_death(
    apart, kernels, cluster, in_namespace, tmp_path, monkeypatch
):
    held = Leases(in_namespace)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("RKP_DATA_FOLDER", str(tmp_path / "elsewhere"))
        with OtherHost("k8skp", "light") as other:
            name = other.resource().data["namespace"]
            run(sweep_dead(kernels.host))
            assert is_left(cluster, name)
    assert kernels.lifecycle.name  # in use, and so swept
    run(sweep_dead(kernels.host))
    assert is_left(cluster, name)  # it is dead, and nobody here knows
    held.expire(held.one())
    run(sweep_dead(kernels.host))
    assert is_left(cluster, name)  # seen once
    monkeypatch.setattr(deaths, "CONFIRMATION", AT_ONCE)
    run(sweep_dead(kernels.host))
    assert not is_left(cluster, name)


def test_one_watch_follows_kernels_in_all_namespaces(apart, kernels, cluster, monkeypatch):
    watched: list[str] = []
    stream = ClusterClient.stream

    def recording(self, path, **options):
        watched.append(path)
        return stream(self, path, **options)

    monkeypatch.setattr(ClusterClient, "stream", recording)
    first = kernels.start("light")
    second = kernels.start("light")
    assert first.resource.data["namespace"] != second.resource.data["namespace"]
    of_pods = [path for path in watched if not path.endswith("/events")]  # which a start that is slow asks for
    assert of_pods == ["/api/v1/pods"]  # of both launches, and then of both kernels
    cluster.api.delete_namespaced_pod(
        second.resource.data["pod"], second.resource.data["namespace"], grace_period_seconds=1
    )
    run(second.wait(), 30)
    assert second.status.reason == "Deleted"
    assert run(first.is_alive())


def test_a_host_that_comes_back_finds_its_kernels_in_the_namespaces_that_were_named(
    kernels, in_namespace, other_namespace, users, monkeypatch, tmp_path
):
    monkeypatch.setenv("RKP_SWEEP", "false")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/of-the-tests")
    monkeypatch.setenv("KUBECONFIG", str(users.kubeconfig("modest", KERNELS)))  # before the host has asked anybody
    users.allow_in(other_namespace.name, "modest", KERNELS)
    kernels.add_spec(
        "there", LIGHT,
        config={"namespace": other_namespace.name},
    )  # fmt: skip
    with OtherHost("k8skp", "there", code="kept = 6 * 7") as one, OtherHost("k8skp", "there") as another:
        adopted, left = one.resource(), another.resource()
    assert {resource.id for resource in kernels.find()} == {adopted.id, left.id}
    manager = run(adopt(kernels.host, adopted))
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(kept)").text == "42\n"
    listed = {kernel["id"]: kernel["host"] for kernel in json.loads(remote_kernel("ps", "--json").stdout)}
    assert listed == {adopted.kernel_id: "alive", left.kernel_id: "dead"}
    assert remote_kernel("sweep").returncode == 0
    assert [resource.id for resource in kernels.find()] == [adopted.id]

    # Whoever remembers nothing looks where the operator has kernels be.
    monkeypatch.setenv("RKP_SHARED_NAMESPACE", "false")
    stranger = host_elsewhere(tmp_path / "elsewhere")
    own = OwnerSelector(host_id=kernels.host.identity.host_id)
    assert run(stranger.lifecycle.find(own)) == []
    run(stranger.host.close())
    monkeypatch.setenv("RKP_ALLOWED_NAMESPACES", f"lab-*,{other_namespace.name}")
    stranger = host_elsewhere(tmp_path / "elsewhere")
    assert [resource.id for resource in run(stranger.lifecycle.find(own))] == [adopted.id]
    run(stranger.host.close())
    run(manager.kill())

    # What it may not see is said.
    users.forbid_in(other_namespace.name, "modest")

    def said() -> str:
        return remote_kernel("ps").stderr

    until(lambda: "are not seen" in said(), 20, "the end of a right")
    words = said()
    assert f"kernels in the namespace '{other_namespace.name}' are not seen: pods is forbidden" in words
    assert f"Role in the namespace '{other_namespace.name}': rules:" in words


def test_json_names_what_a_sweep_removes(kernels, in_namespace, monkeypatch):
    monkeypatch.setenv("RKP_SWEEP", "false")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/of-the-tests")
    with OtherHost("k8skp", "light") as other:
        left = other.resource()
    # One whose pod somebody deleted, and left its Secret.
    with OtherHost("k8skp", "light") as other:
        lonely = other.resource()
        in_namespace.api.delete_namespaced_pod(
            lonely.data["pod"], in_namespace.name, grace_period_seconds=1, propagation_policy="Orphan"
        )
        until(lambda: len(in_namespace.api.list_namespaced_pod(in_namespace.name).items) == 1, 30, "the pod's end")
    found = json.loads(remote_kernel("sweep", "--dry-run", "--json").stdout)
    assert [(kernel["id"], kernel["reason"], kernel["removed"]) for kernel in found["kernels"]] == [
        (left.kernel_id, "its program is dead", False)
    ]
    expected = sorted(
        [
            ("lease", None, "its host is dead and has no kernels"),
            ("lease", None, "its host is dead and has no kernels"),
            ("pod", left.kernel_id, "its program is dead"),
            ("secret", left.kernel_id, "its program is dead"),
            ("secret", None, "the pod of its kernel is gone, and its host is dead"),
        ],
        key=str,
    )
    assert sorted([(each["kind"], each["kernel"], each["reason"]) for each in found["objects"]], key=str) == expected
    names = {f"{in_namespace.name}/{name.split()[1]}" for name in in_namespace.objects()}
    assert {each["name"] for each in found["objects"]} == names
    swept = json.loads(remote_kernel("sweep", "--json").stdout)
    assert {each["name"] for each in swept["objects"] if each["removed"]} == names
    until(lambda: in_namespace.objects() == [], 20, "nothing is left")
