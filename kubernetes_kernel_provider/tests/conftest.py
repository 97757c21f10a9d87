"""Kernels in pods of a real cluster, each test in a namespace of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.fixtures import IMAGE, ClusterUnderTest, Namespace
from cluster.relay import Relay
from cluster_users import Users

from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run


@pytest.fixture
def in_namespace(cluster: ClusterUnderTest, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Let hosts that are made from now on run their kernels in the test's namespace."""
    for name in list(os.environ):
        if name.startswith(("RKP_", "GP_", "EG_", "K8SKP_", "KERNEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("RKP_NAMESPACE", namespace.name)
    return namespace


@pytest.fixture
def kernels(in_namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernels]:
    """A host with Jupyter folders of its own; nothing is left of its kernels when a test ends."""
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind.lower()))
    host = Host(load_settings(), "server-1")
    kernels = Kernels(KubernetesKernelProvider(host), tmp_path / "data" / "kernels", "", {"image_name": IMAGE})
    kernels.add_spec("python", ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"))
    yield kernels
    kernels.close()
    run(kernels.lifecycle.clear(dry_run=False))  # leases of other hosts that the test killed
    assert in_namespace.objects() == []
    run(host.close())


@pytest.fixture
def relay(cluster: ClusterUnderTest, in_namespace, tmp_path, monkeypatch) -> Iterator[Relay]:
    """A relay between this test's host and the API server; kernels are reached without it."""
    file = tmp_path / "kubeconfig"
    relay = Relay.before(cluster.kubeconfig, file)
    monkeypatch.setenv("KUBECONFIG", str(file))
    # Not by chance: a busy machine may be too slow for the probe that chooses.
    monkeypatch.setenv("RKP_KUBERNETES_ROUTE", "direct")
    yield relay
    relay.close()


@pytest.fixture
def through_relay(relay: Relay, kernels: Kernels) -> Kernels:
    """A host behind the relay."""
    return kernels


@pytest.fixture
def waiting(kernels: Kernels) -> str:
    """A kernel that never starts, and waits."""
    return kernels.add_spec("waiting", ("python",), config={"image_name": "127.0.0.1:9/acme/python:1"})


@pytest.fixture
def users(cluster: ClusterUnderTest, namespace: Namespace, tmp_path: Path) -> Users:
    """Somebody who may do in the test's namespace what the test says, and nothing else."""
    return Users(cluster, namespace, tmp_path)
