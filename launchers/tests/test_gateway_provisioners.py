"""The launcher, and the image, under hosts that we did not write: the provisioners of gateway_provisioners."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).with_name("gateway_provisioners_host.py")


LIVED = {
    "interrupted": {"stdout": "begun\n", "error": "KeyboardInterrupt"},
    "alive": True,
    "after": {"stdout": "42\n"},
    "alive_after_shutdown": False,
}
"""What the peer sees of every kernel."""


@pytest.fixture
def peer_python(peer_environment: Path) -> Path:
    """Python of an environment that holds the peer."""
    return peer_environment / "bin/python"


def host_of(peer_python: Path, specs: Path, **environment: str) -> dict[str, Any]:
    """Take the kernel `launched` through its life under the peer; return what was seen."""
    # Under a test of its own, the peer would not read where its cluster is.
    own = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [peer_python, SCRIPT, specs],
        env={**own, "KERNEL_USERNAME": "someone", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    logs = "".join(log.read_text() for log in specs.parent.glob("kernel-*.log"))
    assert done.returncode == 0, done.stderr + logs
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def install(peer_python: Path, installer: str, prefix: Path, image: str) -> Path:
    """Let an installer of the peer write the spec `launched` of an image; return the folder of specs."""
    command = [peer_python, "-m", f"gateway_provisioners.cli.{installer}", "install"]
    options = ["--prefix", prefix, "--kernel-name", "launched", "--image-name", image]
    subprocess.run([*command, *options], capture_output=True, timeout=60, check=True)
    return prefix / "share/jupyter/kernels"


def test_distributed_provisioner(peer_python: Path, tmp_path: Path) -> None:
    arguments = ["kernel-id", "port-range", "response-address", "public-key", "transport-encryption"]
    spec = {
        "display_name": "Launched",
        "language": "python",
        "argv": [
            sys.executable,
            "-m",
            "kernel_launchers.python",
            *(part for name in arguments for part in (f"--{name}", f"{{{name.replace('-', '_')}}}")),
        ],
        "metadata": {
            "kernel_provisioner": {"provisioner_name": "distributed-provisioner"},
            "supported_encryption": ["curve"],
        },
    }
    (tmp_path / "specs" / "launched").mkdir(parents=True)
    (tmp_path / "specs" / "launched" / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "tmp").mkdir()
    seen = host_of(
        peer_python,
        tmp_path / "specs",
        GP_REMOTE_HOSTS="localhost",
        GP_RESPONSE_IP="127.0.0.1",
        GP_KERNEL_LOG_DIR=str(tmp_path),
        GP_PORT_RANGE="21000..32000",
        TMPDIR=str(tmp_path / "tmp"),
    )
    pid = int(seen.pop("pid"))
    encrypted = tuple(map(int, metadata.version("ipykernel").split(".")[:2])) >= (7, 3)
    assert seen == {**LIVED, "provisioner": "DistributedProvisioner", "encrypted": encrypted}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_docker_provisioner_runs_our_image(peer_python: Path, tmp_path: Path, shared_engine: Any) -> None:
    engine_images = pytest.importorskip("engine.python_image", reason="the repository's tests/engine is not here")
    image = engine_images.make_python_image(shared_engine.client)
    specs = install(peer_python, "docker_specapp", tmp_path, image)
    (config,) = shared_engine.client.inspect_network("bridge")["IPAM"]["Config"]
    seen = host_of(
        peer_python,
        specs,
        DOCKER_HOST=shared_engine.host,
        GP_RESPONSE_IP=config["Gateway"],
        PATH=f"{peer_python.parent}{os.pathsep}{os.environ['PATH']}",  # the spec's command is 'python'
    )
    assert int(seen.pop("pid")) != 1
    assert seen == {**LIVED, "provisioner": "DockerProvisioner", "encrypted": True}
    assert shared_engine.containers("app=gateway-provisioners") == []


def test_kubernetes_provisioner_runs_our_image(
    peer_python: Path, tmp_path: Path, shared_engine: Any, cluster: Any, namespace: Any
) -> None:
    if cluster.own is None:
        pytest.skip("the cluster of TEST_KUBECONFIG cannot be given the image that is built here")
    from cluster.configuration import GATEWAY
    from cluster.loading import load_from_engine
    from engine.python_image import make_python_image

    from remote_kernel_provider.testing.waiting import until

    image = make_python_image(shared_engine.client)
    load_from_engine(cluster.own, shared_engine.client, image)
    # The peer's pods say nothing of their security, and so pass no level but this one.
    level = {"pod-security.kubernetes.io/enforce": "baseline"}
    namespace.api.patch_namespace(namespace.name, {"metadata": {"labels": level}})
    specs = install(peer_python, "k8s_specapp", tmp_path, image)
    seen = host_of(
        peer_python,
        specs,
        KUBECONFIG=str(cluster.kubeconfig),
        GP_USE_INCLUSTER_CONFIG="False",
        GP_NAMESPACE=namespace.name,
        GP_RESPONSE_IP=GATEWAY,  # a launcher takes signals from there alone, which is where its host's come from
        PATH=f"{peer_python.parent}{os.pathsep}{os.environ['PATH']}",  # the spec's command is 'python'
    )
    assert int(seen.pop("pid")) != 1
    assert seen == {**LIVED, "provisioner": "KubernetesProvisioner", "encrypted": True}
    until(lambda: namespace.objects() == [], 30, "the end of the pod")
