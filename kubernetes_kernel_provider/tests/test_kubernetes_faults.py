"""What breaks between a host and its cluster, and what it costs when nothing happens."""

import threading
import time
from concurrent.futures import CancelledError

import pytest

from kubernetes_kernel_provider.client import list_watch
from kubernetes_kernel_provider.client.connections import IDLE
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

NOTICED = 40.0
"""Seconds after a break in which a host knows again what happened meanwhile, on a machine that does much else."""


def test_what_happens_on_a_connection_that_was_forgotten_is_noticed(through_relay, relay, in_namespace, monkeypatch):
    """The watch hears nothing any more, and nobody tells it that its connection is dead."""
    monkeypatch.setattr(list_watch, "SILENCE", 2.0)
    ended, kept = through_relay.start("light"), through_relay.start("light")
    relay.strand()
    in_namespace.api.delete_namespaced_pod(ended.resource.data["pod"], in_namespace.name, grace_period_seconds=1)
    run(ended.wait(), NOTICED)
    assert ended.status.reason in ("Deleted", "Gone")
    assert run(kept.is_alive())


def test_what_happens_during_a_break_is_noticed_after_it(through_relay, relay, in_namespace):
    ended, kept = through_relay.start("light"), through_relay.start("light")
    relay.cut()
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
        through_relay.start("light")
    assert failure.value.status.reason == "ClusterUnreachable"
    relay.mend()


def test_nothing_is_asked_while_nothing_happens(through_relay, relay):
    for _ in range(3):
        through_relay.start("light")
    time.sleep(2 * IDLE + 1)  # the last change of the last pod, and the last unused connection closed: it says goodbye
    before = relay.sent
    time.sleep(15)
    assert relay.sent == before


def test_a_launch_that_is_cancelled_during_a_break_leaves_nothing(through_relay, relay, in_namespace, waiting):
    created = threading.Event()
    launching = PRIVATE_LOOP.submit(through_relay.launch(waiting, progress=lambda _: created.set()))
    assert created.wait(20)
    relay.cut()
    launching.cancel()
    with pytest.raises(CancelledError):
        launching.result(NOTICED)
    assert in_namespace.objects()
    relay.mend()
    until(lambda: not in_namespace.objects(), NOTICED, "the removal of what the launch left")


def test_a_pod_whose_creation_was_not_answered_is_removed(through_relay, relay, in_namespace):
    other = through_relay.start("light")
    # Opens the connections that the next launch uses: none can be opened while nobody answers.
    owner = OwnerSelector(host_id=through_relay.host.identity.host_id)
    for found in [PRIVATE_LOOP.submit(through_relay.lifecycle.find(owner)) for _ in range(6)]:
        found.result(NOTICED)
    before = in_namespace.objects()
    relay.deafen()
    launching = PRIVATE_LOOP.submit(through_relay.launch("light"))
    until(lambda: len(in_namespace.objects()) > len(before), 20, "the pod")
    relay.cut()
    with pytest.raises(LaunchError, match="cannot be reached"):
        launching.result(NOTICED)
    assert len(in_namespace.objects()) > len(before)
    relay.mend()
    until(lambda: in_namespace.objects() == before, NOTICED, "the removal of the pod")
    assert run(other.is_alive())
