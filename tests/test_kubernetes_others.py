"""An image of others under our Kubernetes provider; ours under theirs is in `launchers/tests`."""

import json

import pytest
from clients import LIVED, live_in_container
from cluster.loading import load_from_engine
from engine.peer_image import make_peer_image, write_peer_kubernetes_spec

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]


@pytest.fixture
def pods_home(home, cluster, namespace):
    """A home whose programs know the cluster; nothing of its kernels is left in the namespace."""
    home.environment |= {"KUBECONFIG": str(cluster.kubeconfig), "RKP_NAMESPACE": namespace.name}
    yield home
    assert namespace.objects() == []


def test_an_image_of_gateway_provisioners(pods_home, cluster, shared_engine):
    """Their launcher in their image, by the very spec and template that their installer writes.

    The namespace lets in pods of the level `restricted` alone: what their template leaves out of it is laid over.
    """
    if cluster.own is None:
        pytest.skip("the cluster of TEST_KUBECONFIG cannot be given the image that is built here")
    load_from_engine(cluster.own, shared_engine.client, make_peer_image(shared_engine.client))
    write_peer_kubernetes_spec(shared_engine.client, pods_home.specs)
    spec = json.loads((pods_home.specs / "theirs/kernel.json").read_text())
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "kubernetes-provisioner"
    ran = pods_home.run(
        "jupyter", "remote-kernel", "run", "--kernel", "k8skp/theirs", "-c", "import os; print(6 * 7, os.getuid())"
    )
    assert ran.stdout == "42 1000\n"
    # As stock Jupyter finds it: a kernel.json of ours that leads to theirs.
    provisioner = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": "k8skp/theirs"}}
    (pods_home.specs / "ours").mkdir()
    (pods_home.specs / "ours/kernel.json").write_text(
        json.dumps({**spec, "metadata": {"kernel_provisioner": provisioner}})
    )
    assert live_in_container(pods_home, "ours") == {**LIVED, "encrypted": True}
