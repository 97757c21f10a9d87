"""What breaks between a host and its cluster, and what it costs when nothing happens."""

import time
from collections.abc import Iterator

import pytest
from cluster.fixtures import ClusterUnderTest
from cluster.relay import Relay

from kubernetes_kernel_provider.client import list_watch
from kubernetes_kernel_provider.client.api import IDLE
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow

NOTICED = 20.0
"""Seconds after a break in which a host knows again what happened meanwhile."""


@pytest.fixture
def relay(cluster: ClusterUnderTest, in_namespace, tmp_path, monkeypatch) -> Iterator[Relay]:
    """A relay between this test's host and the API server."""
    file = tmp_path / "kubeconfig"
    relay = Relay.before(cluster.kubeconfig, file)
    monkeypatch.setenv("KUBECONFIG", str(file))
    yield relay
    relay.close()


@pytest.fixture
def through_relay(relay: Relay, kernels: Kernels) -> Kernels:
    return kernels


@pytest.mark.parametrize("way", ["cut", "freeze"])
def test_what_happens_during_a_break_is_noticed_after_it(through_relay, relay, in_namespace, way, monkeypatch):
    monkeypatch.setattr(list_watch, "SILENCE", 2.0)
    ended, kept = through_relay.start("python"), through_relay.start("python")
    getattr(relay, way)()
    with Notebook(ended.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    in_namespace.api.delete_namespaced_pod(ended.resource.data["pod"], in_namespace.name, grace_period_seconds=1)
    time.sleep(3)  # the break itself
    assert run(ended.is_alive())
    relay.mend()
    run(ended.wait(), NOTICED)
    assert ended.status.reason in ("Deleted", "Gone")
    assert run(kept.is_alive())
    with Notebook(kept.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"


def test_a_launch_without_a_cluster(through_relay, relay):
    relay.cut()
    with pytest.raises(LaunchError, match="cannot be reached") as failure:
        through_relay.start("python")
    assert failure.value.status.reason == "ClusterUnreachable"
    relay.mend()


def test_nothing_is_asked_while_nothing_happens(through_relay, relay):
    for _ in range(3):
        through_relay.start("python")
    time.sleep(2 * IDLE + 1)  # the last change of the last pod, and the last unused connection closed: it says goodbye
    before = relay.sent
    time.sleep(15)
    assert relay.sent == before
