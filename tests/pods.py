"""A home whose user has nothing but a kubeconfig, and the pods of the kernels that its programs run; fixture `pods`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import sharing
from cluster.fixtures import IMAGE, ClusterUnderTest, Namespace

from remote_kernel_provider.testing.waiting import until

COMMAND = "python -m ipykernel_launcher -f {connection_file}"
KINDS = ("pod", "secret", "config_map", "persistent_volume_claim", "service")


class PodHome:
    """A home, and the namespace in which the kernels of its programs run.

    Parameters
    ----------
    home
        The `JupyterHome`; its programs find the cluster from now on.
    cluster
        The cluster.
    namespace
        Of the kernels.
    """

    def __init__(self, home, cluster: ClusterUnderTest, namespace: Namespace) -> None:
        home.environment |= {"KUBECONFIG": str(cluster.kubeconfig), "RKP_NAMESPACE": namespace.name}
        self.home = home
        self.api = cluster.api
        self.namespace = namespace

    def install(self, name: str, *options: str, image: str = IMAGE, command: str = COMMAND) -> str:
        """Install a kernel as its user does, again where a test runs again; return its name, as it is in JupyterLab."""
        named = ("--kernel-name", name, "--display-name", name)
        runs = ("--image-name", image, "--kernel-command", command)
        self.home.run("jupyter", "k8s-kernelspec", "install", "--user", "--replace", *named, *runs, *options)
        return name

    def objects(self) -> list[str]:
        """Name what there is of its kernels: what has its label anywhere, and all that is in their namespace."""
        identity = self.home.root / "data/remote-kernels/host.json"
        if not identity.exists():
            return self.namespace.objects()
        label = f"remote-kernel-provider/host={json.loads(identity.read_text())['host_id']}"
        lists = [getattr(self.api, f"list_{kind}_for_all_namespaces")(label_selector=label) for kind in KINDS]
        anywhere = [f"{each.metadata.namespace}/{each.metadata.name}" for found in lists for each in found.items]
        return anywhere + self.namespace.objects()

    def assert_nothing_left(self) -> None:
        """Wait until nothing is left of any kernel, here or in the cluster."""
        until(lambda: not self.objects(), 20, "no object is left in the cluster")
        self.home.assert_nothing_left()

    def pod(self) -> Any:
        """Return the one pod that there is, but for those that end."""
        pods = self.api.list_namespaced_pod(self.namespace.name).items
        (pod,) = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        return pod

    def delete_pod(self) -> None:
        """Delete the one pod, as somebody with kubectl does."""
        self.api.delete_namespaced_pod(self.pod().metadata.name, self.namespace.name, grace_period_seconds=1)


@pytest.fixture(scope="module")
def pods(make_home, cluster) -> Iterator[PodHome]:
    """A home whose kernels run in a namespace of the cluster; one for all tests of a module."""
    with sharing.turn(False):  # of tests that harm the cluster
        namespace = Namespace(cluster)
    yield PodHome(make_home("pods"), cluster, namespace)
    namespace.remove()
