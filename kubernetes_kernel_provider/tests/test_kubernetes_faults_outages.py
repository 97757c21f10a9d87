"""What the cluster itself can do to kernels: its API server stops, its node falls silent or is emptied."""

import logging
import signal
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from cluster.configuration import ADDRESS, NODE, PORT
from cluster.fixtures import IMAGE, LIGHT
from cluster.running import Cluster

from kubernetes_kernel_provider import removal
from kubernetes_kernel_provider.client import list_watch
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import KernelDiedError, LaunchError, LaunchTimeoutError
from remote_kernel_provider.host import Host
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

BACK = 40.0
"""Seconds in which everybody has found an API server again that was away for some."""

STRADDLE = f"""
import socket, time
def answers():
    try:
        socket.create_connection(("{ADDRESS}", {PORT}), 1).close()
        return True
    except OSError:
        return False
print("begun", flush=True)
while answers():
    time.sleep(0.05)
print("during", flush=True)
while not answers():
    time.sleep(0.05)
print("after", flush=True)
"""
"""A cell that begins before the API server stops and ends when it is back."""

TICK = """
import signal, time
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
while not told:
    print("tick", flush=True)
    time.sleep(0.1)
print("told")
"""
"""A cell that goes on until it is sent a signal."""


@pytest.fixture
def forwarded(own_cluster, kernels: Kernels, tmp_path, monkeypatch) -> Iterator[Kernels]:
    """A second host, which reaches its kernels through the API server."""
    monkeypatch.setenv("RKP_KUBERNETES_ROUTE", "port-forward")
    host = Host(load_settings(), "server-2")
    forwarded = Kernels(KubernetesKernelProvider(host), tmp_path / "data" / "kernels", "", {})
    yield forwarded
    forwarded.close()
    run(host.close())


def crash(cluster: Cluster, program: str) -> None:
    cluster.stop(program, signal.SIGKILL)


def launch(kernels: Kernels, spec: str = "light", until_reason: str = "") -> "Future[RemoteKernelManager]":
    """Begin a launch, and return when its pod is there, or waits for that reason."""
    steps: list[LaunchProgress] = []
    launching = PRIVATE_LOOP.submit(kernels.launch(spec, progress=steps.append))
    until(lambda: any(until_reason in step.status.reason for step in steps), 20, "a launch under way")
    return launching


def test_the_api_server_stops_and_starts(own_cluster, kernels, forwarded, waiting, in_namespace):
    direct, through = kernels.start("light"), forwarded.start("light")
    with Notebook(direct.connection) as near, Notebook(through.connection) as far:
        near_cell, far_cell = near.begin(STRADDLE), far.begin(TICK)
        near_cell.until_printed("begun")
        far_cell.until_printed("tick")
        patient, starting = launch(kernels, waiting, "RegistryUnreachable"), launch(kernels)
        crash(own_cluster, "apiserver")
        near_cell.until_printed("during")
        with pytest.raises(LaunchError, match="cannot be reached") as failure:
            kernels.start("light")
        assert failure.value.status.reason == "ClusterUnreachable"
        own_cluster.start("apiserver")
        assert near_cell.finish().text == "begun\nduring\nafter\n"
        until(own_cluster.answers, BACK, "the API server")
        # Output before the new subscription is lost; this is after it.
        far_cell.until_printed_anew("tick", BACK)
        run(through.signal(signal.SIGUSR1))
        assert far_cell.finish().text.endswith("told\n")
        for notebook in (near, far):
            assert notebook.run("print(6 * 7)").text == "42\n"
    with Notebook(starting.result(BACK).connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    assert not patient.done()
    patient.cancel()
    assert all(run(manager.is_alive()) for manager in (direct, through))
    run(direct.shutdown())
    assert direct.resource.data["pod"] not in str(in_namespace.objects())


def test_the_api_server_stays_away(own_cluster, kernels, in_namespace):
    """A launch ends with its time-out all the same, says so, and what it left goes when the API server is back."""
    command = ("python", "-c", "import time; time.sleep(600)", "{connection_file}")
    kernels.add_spec("silent", command, config={"launch_timeout": 8})
    launching = launch(kernels, "silent")
    crash(own_cluster, "apiserver")
    said = r"did not answer within 8 s.* not removed: the cluster at .* cannot be reached"
    with pytest.raises(LaunchTimeoutError, match=said):
        launching.result(BACK)
    own_cluster.start("apiserver")
    until(own_cluster.answers, BACK, "the API server")
    until(lambda: not in_namespace.objects(), BACK, "nothing is left")


def test_changes_that_the_cluster_has_forgotten(own_cluster, through_relay, relay, in_namespace, caplog):
    caplog.set_level(logging.DEBUG, list_watch.__name__)
    ended, kept = through_relay.start("light"), through_relay.start("light")
    relay.cut()
    pod = ended.resource.data["pod"]
    deleted = in_namespace.api.delete_namespaced_pod(pod, in_namespace.name, grace_period_seconds=1)
    until(lambda: len(in_namespace.api.list_namespaced_pod(in_namespace.name).items) == 1, 20, "the pod's end")
    now = int(in_namespace.api.list_namespaced_pod(in_namespace.name).metadata.resource_version)
    assert now > int(deleted.metadata.resource_version)
    own_cluster.compact(now)
    crash(own_cluster, "apiserver")  # it answers from its memory while it has one
    own_cluster.start("apiserver")
    until(own_cluster.answers, BACK, "the API server")
    relay.mend()
    run(ended.wait(), BACK)
    assert ended.status.reason == "Gone"
    assert "too old resource version" in caplog.text
    assert run(kept.is_alive())


def test_the_kubelet_stops_and_starts(own_cluster, kernels, forwarded):
    direct, through = kernels.start("light"), forwarded.start("light")
    with Notebook(direct.connection) as near, Notebook(through.connection) as far:
        for notebook in (near, far):
            notebook.run("value = 6 * 7")
        crash(own_cluster, "kubelet")
        starting = launch(kernels)
        assert near.run("print(value)").text == "42\n"
        own_cluster.start("kubelet")
        far.until_ready()
        for notebook in (near, far):
            assert notebook.run("print(value)").text == "42\n"
    with Notebook(starting.result(BACK).connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    assert all(run(manager.is_alive()) for manager in (direct, through))


def test_a_node_is_drained(own_cluster, kernels, waiting):
    running, under_way = kernels.start("light"), launch(kernels, waiting, "RegistryUnreachable")
    ours = f"--pod-selector=remote-kernel-provider/host={kernels.host.identity.host_id}"
    own_cluster.kubectl("drain", NODE, ours, "--force", "--delete-emptydir-data", "--grace-period=1", "--timeout=30s")
    run(running.wait(), 20)
    assert running.status.reason == "Drained"
    assert "eviction" in running.status.message.lower()
    with pytest.raises(KernelDiedError) as failure:
        under_way.result(20)
    assert failure.value.status.reason == "Drained"
    # Goes on when the node is back.
    patient = launch(kernels, until_reason="Unschedulable")
    own_cluster.kubectl("uncordon", NODE)
    assert run(patient.result(BACK).is_alive())


def test_a_node_is_lost(own_cluster, kernels, in_namespace, monkeypatch):
    monkeypatch.setattr(removal, "FINALIZING", 0.5)
    monkeypatch.setattr(removal, "STUCK", 0.5)
    lost = kernels.start("light")
    crash(own_cluster, "kubelet")
    # What an operator says of a node that will not come back; the cluster itself waits for minutes.
    own_cluster.kubectl("taint", "node", NODE, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    run(lost.wait(), BACK)
    assert lost.status.reason == "NodeLost"
    run(lost.cleanup())
    assert in_namespace.objects() == []


def test_a_kernel_makes_room_for_something_more_important(own_cluster, kernels, in_namespace):
    node = in_namespace.api.read_node(NODE)
    half = str(int(node.status.allocatable["memory"].removesuffix("Ki")) * 6 // 10) + "Ki"
    kernels.add_spec("large", LIGHT, config={"memory": half})
    running = kernels.start("large")
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "it", "image": IMAGE, "command": ["sleep", "60"], "securityContext": secure}
    container["resources"] = {"requests": {"memory": half}}
    user = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": user, "priorityClassName": "system-cluster-critical"}
    in_namespace.api.create_namespaced_pod(in_namespace.name, {"metadata": {"name": "important"}, "spec": spec})
    run(running.wait(), 20)
    assert running.status.reason == "Preempted"
    in_namespace.api.delete_namespaced_pod("important", in_namespace.name, grace_period_seconds=0)
