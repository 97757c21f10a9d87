"""Manifests without a cluster; kernels in pods of a real one, each test in a namespace of its own."""

import json
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.fixtures import IMAGE, LIGHT, ClusterUnderTest, Namespace
from cluster.relay import Relay
from cluster_users import Users
from pod_launches import HOST, request_of, write_spec

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.manifests import KernelManifests, make_manifests, place
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.isolation import own_folders
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run


@pytest.fixture
def settings() -> RemoteKernelSettings:
    """Settings that no file and no environment touched."""
    return RemoteKernelSettings()


@pytest.fixture
def launch(tmp_path: Path, settings: RemoteKernelSettings) -> Callable[..., KernelManifests]:
    """Make the manifests of a launch; no cluster is asked."""

    def make(values=None, *, template="", spec=None, **request) -> KernelManifests:
        spec = write_spec(tmp_path, template=template, **(spec or {}))
        asked = request_of(spec, values, settings=settings, **request)
        return make_manifests(asked, place(asked, settings, HOST), settings)

    return make


@pytest.fixture
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no cluster, and no proxy on the way to one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def write_kubeconfig(no_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Have a kubeconfig for a server that a test makes up."""

    def write(server: str = "http://127.0.0.1:9", user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        file = tmp_path / "kubeconfig"
        context = {"cluster": "c", "user": "u", "namespace": "team"}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user or {"token": "a-token"}}],
            "contexts": [{"name": "here", "context": context}],
        }  # fmt: skip
        file.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(file))
        return file

    return write


@pytest.fixture
def write_plugin(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Make a shell script the exec plugin of a kubeconfig's user."""

    def write(script: str) -> dict[str, Any]:
        file = tmp_path / "plugin"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(file)}}

    return write


@pytest.fixture
async def client(no_cluster: None) -> AsyncIterator[ClusterClient]:
    """A client of the kubeconfig that a test writes."""
    client = ClusterClient()
    yield client
    await client.close()


@pytest.fixture
def in_namespace(
    cluster: ClusterUnderTest, namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Namespace:
    """Let hosts that are made from now on run their kernels in the test's namespace; Jupyter's folders are its own."""
    own_folders(tmp_path, monkeypatch)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("RKP_NAMESPACE", namespace.name)
    return namespace


@pytest.fixture
def kernels(in_namespace: Namespace, tmp_path: Path) -> Iterator[Kernels]:
    """A host; nothing is left of its kernels when a test ends."""
    host = Host(load_settings(), "server-1")
    kernels = Kernels(KubernetesKernelProvider(host), tmp_path / "data" / "kernels", "", {"image_name": IMAGE})
    kernels.add_spec("light", LIGHT)
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
def users(cluster: ClusterUnderTest, namespace: Namespace, tmp_path: Path) -> Iterator[Users]:
    """Somebody who may do what the test says, and nothing else."""
    users = Users(cluster, namespace, tmp_path)
    yield users
    users.remove()
