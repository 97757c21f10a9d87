"""The reported handshake in pods: what is kept of a kernel when its connection is known, in good times and in bad."""

from dataclasses import replace

import pytest
import yaml
from cluster.fixtures import FOREIGN, ClusterUnderTest, Namespace
from cluster.relay import Relay
from test_signals_on_a_cluster import REPORTING

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.own_address import own_address
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FOREIGN), reason="needs an image with our launcher")]


@pytest.fixture
def reporting(through_relay: Kernels, cluster: ClusterUnderTest) -> Kernels:
    """A host behind the relay, to which launchers in pods report without it."""
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    through_relay.host.settings.response_ip = run(own_address(server))
    through_relay.add_spec("reporting", REPORTING, config={"handshake": "reported", "launch_timeout": 90})
    return through_relay


def test_a_break_just_when_its_connection_is_to_be_kept(
    reporting: Kernels, relay: Relay, in_namespace: Namespace
) -> None:
    steps: list[LaunchProgress] = []

    def progress(step: LaunchProgress) -> None:
        if step.status.phase is Phase.RUNNING and not any(each.status.phase is Phase.RUNNING for each in steps):
            relay.cut()
        steps.append(step)

    launching = PRIVATE_LOOP.submit(reporting.launch("reporting", progress=progress))
    until(lambda: steps and steps[-1].status.reason == "ClusterUnreachable", 60, "a launch that waits for the cluster")
    assert steps[-1].status.phase is Phase.RUNNING
    assert "cannot be reached" in steps[-1].status.message
    assert in_namespace.api.list_namespaced_secret(in_namespace.name).items == []
    relay.mend()
    manager = launching.result(30)
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    memory = run(reporting.lifecycle.recall(manager.resource))

    # As after an answer that was lost.
    run(reporting.lifecycle.remember(manager.resource, memory))
    with pytest.raises(ClusterError, match="already exists"):
        run(reporting.lifecycle.remember(manager.resource, replace(memory, comm_port=1)))
    assert run(reporting.lifecycle.recall(manager.resource)) == memory
