"""pytest fixtures: the cluster under test, and a namespace of it for each test."""

import os
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import sharing
from cluster.building import Built
from cluster.errors import ClusterError
from cluster.images import PYTHON_IMAGE
from cluster.running import Cluster
from remote_kernel_provider.testing.waiting import until

FOREIGN = os.environ.get("TEST_KUBECONFIG", "")
"""The kubeconfig of somebody's cluster: the tests make namespaces in it, and leave everything else alone."""
IMAGE = os.environ.get("TEST_KERNEL_IMAGE", "quay.io/jupyter/base-notebook") if FOREIGN else PYTHON_IMAGE
"""An image with `python` and ipykernel that the cluster's nodes have or can pull."""
LIGHT = ("python", "-m", "ipykernel_launcher" if FOREIGN else "tiny_kernel", "-f", "{connection_file}")
"""Command of the kernel of the tests to which it does not matter which kernel it is."""
LOG_LINES = 30
NO_CLUSTER = "/nonexistent/of-the-tests/kubeconfig"
"""What `$KUBECONFIG` says in tests that were given none."""


@dataclass(frozen=True)
class ClusterUnderTest:
    """A cluster on which tests may run kernels.

    Parameters
    ----------
    kubeconfig
        Of somebody who may make namespaces and everything in them.
    api
        The official client's `CoreV1Api`, so that tests look by other eyes than ours.
    own
        The cluster itself, where this machine started it, and it may be harmed; None for somebody's.
    """

    kubeconfig: Path
    api: Any
    own: Cluster | None


class Namespace:
    """A fresh namespace, under the `restricted` pod security level."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self.name = f"rkp-test-{uuid.uuid4().hex[:8]}"
        self.api = cluster.api
        self._foreign = cluster.own is None
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "remote-kernel-provider/test": "true"}
        self.api.create_namespace({"metadata": {"name": self.name, "labels": labels}})
        # After an outage the controllers try again every half minute to minute.
        until(self._has_account, 90, "the namespace's default service account")

    def _has_account(self) -> bool:
        return bool(self.api.list_namespaced_service_account(self.name).items)

    def objects(self) -> list[str]:
        """Name all that kernels can leave in it."""
        from kubernetes import client

        coordination = client.CoordinationV1Api(self.api.api_client)
        pods, secrets = self.api.list_namespaced_pod(self.name), self.api.list_namespaced_secret(self.name)
        found = [*pods.items, *secrets.items, *coordination.list_namespaced_lease(self.name).items]
        return [f"{type(each).__name__} {each.metadata.name}" for each in found]

    def describe(self) -> str:
        """Say what happened in it: events, the pods' statuses and the ends of their logs."""
        lines = [f"namespace {self.name}"]
        for event in self.api.list_namespaced_event(self.name).items:
            lines.append(f"  event {event.involved_object.name}: {event.reason}: {event.message}")
        for pod in self.api.list_namespaced_pod(self.name).items:
            lines.append(f"  pod {pod.metadata.name}: {pod.status.phase} {pod.status.container_statuses}")
            try:
                log = self.api.read_namespaced_pod_log(pod.metadata.name, self.name, tail_lines=LOG_LINES)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test's own failure matters more
                log = f"(no log: {error})"
            lines.append(f"    {log}")
        return "\n".join(lines)

    def delete(self) -> None:
        """Delete it with everything in it; nobody waits for that."""
        self.api.delete_namespace(self.name)

    def remove(self) -> None:
        """Delete it at the end of its test.

        An empty one in a cluster of ours ends with the cluster: to delete it takes the API server some fifty requests.
        """
        if self._foreign or self.objects():
            self.delete()


def pytest_configure() -> None:
    """Hide every cluster from tests that did not ask for one."""
    os.environ["KUBECONFIG"] = NO_CLUSTER
    os.environ.pop("KUBERNETES_SERVICE_HOST", None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterUnderTest]:
    """The cluster that `TEST_KUBECONFIG` names, else one that is started here and shared with other processes."""
    kubernetes = pytest.importorskip("kubernetes", reason="the Kubernetes client is not installed")
    required = os.environ.get("REQUIRE_KUBERNETES") == "1"
    if not FOREIGN and not required and not Built().binary.exists():
        pytest.skip("there is no cluster: `make cluster` builds and starts one, TEST_KUBECONFIG names another")
    try:
        with nullcontext() if FOREIGN else sharing.shared() as own:
            kubeconfig = Path(FOREIGN) if own is None else own.kubeconfig
            api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(kubeconfig)))
            yield ClusterUnderTest(kubeconfig, api, own)
    except ClusterError as error:
        if required:
            pytest.fail(f"REQUIRE_KUBERNETES=1, and {error}")
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let no test harm the cluster under another one; comes before what other fixtures make in it."""
    needed = request.fixturenames
    shares = "cluster" in needed and "own_cluster" not in needed and not FOREIGN
    with sharing.turn(alone=False) if shares else nullcontext():
        yield


@pytest.fixture(scope="module")
def _alone(cluster: ClusterUnderTest) -> Iterator[Cluster]:
    """Have the cluster for oneself until the end of the module: whoever waits for it waits once."""
    if cluster.own is None:
        pytest.skip("this test would harm the cluster of TEST_KUBECONFIG")
    with sharing.turn(alone=True):
        yield cluster.own


@pytest.fixture
def own_cluster(_alone: Cluster) -> Iterator[Cluster]:
    """The cluster, where a test may harm it: nobody else uses it meanwhile, and afterwards it works again."""
    yield _alone
    _alone.recover()


@pytest.fixture
def namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    """A namespace of the test's own; what happened in it is printed, for a test that fails."""
    namespace = Namespace(cluster)
    yield namespace
    print(namespace.describe())
    namespace.remove()
