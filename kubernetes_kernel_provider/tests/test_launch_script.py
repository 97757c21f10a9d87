"""`scripts/launch_kubernetes.py`, run by hand."""

import os
import subprocess
import sys

import pytest
import yaml
from cluster.fixtures import IMAGE, ClusterUnderTest, Namespace

from kubernetes_kernel_provider.installer import k8s_spec

KERNEL_ID = "3f2b9c1e-0b7a-4a57-9b58-4f2d1c9a7e60"
TOLD = ["--RemoteProcessProxy.response-address", "127.0.0.1:1", "--public-key", "KEY"]


@pytest.fixture
def script(tmp_path, capsys):
    """The script of a spec that was just installed."""
    assert k8s_spec(["install", "--prefix", str(tmp_path), "--image-name", IMAGE]) == 0
    capsys.readouterr()
    return tmp_path / "share/jupyter/kernels/k8s_python/scripts/launch_kubernetes.py"


@pytest.fixture
def run(script, tmp_path):
    """Run the script, and return what became of it."""

    def run(*options, **environment):
        folders = {name: str(tmp_path / name) for name in ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KERNEL_")}
        command = [sys.executable, script, *options]
        environment = {**clean, **folders, **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.slow
def test_it_writes_down_what_it_would_create(run, tmp_path):
    file = tmp_path / "objects.yaml"
    asked = {"KERNEL_ID": "not this one", "KERNEL_USERNAME": "ada", "KERNEL_MEMORY": "1Gi", "SECRET": "of the host"}
    done = run(*TOLD, "--kernel-id", KERNEL_ID, "--kernel-class-name", "a.B", "--pod-template", file, **asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (pod,) = yaml.safe_load_all(file.read_text())
    (container,) = pod["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert "command" not in container
    assert pod["metadata"]["labels"]["kernel_id"] == KERNEL_ID
    told = {"RESPONSE_ADDRESS": "127.0.0.1:1", "PUBLIC_KEY": "KEY", "KERNEL_CLASS_NAME": "a.B", "KERNEL_ID": KERNEL_ID}
    assert environment.items() >= {**told, "KERNEL_USERNAME": "ada", "KERNEL_LANGUAGE": "python"}.items()
    assert container["resources"]["requests"] == {"memory": "1Gi"}
    assert "SECRET" not in environment


@pytest.mark.slow
def test_what_it_refuses(run, tmp_path):
    assert run().returncode == 2
    done = run(*TOLD, "--pod-template", tmp_path / "x", KERNEL_IMAGE="theirs")
    assert done.returncode == 1
    assert done.stderr.startswith("launch_kubernetes.py: parameter 'image' of kernel 'k8s_python' is not yours to set")
    assert not (tmp_path / "x").exists()
    done = run(*TOLD, KUBECONFIG=str(tmp_path / "none"), KUBERNETES_SERVICE_HOST="")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


@pytest.mark.slow
def test_it_creates_the_pod(run, cluster: ClusterUnderTest, namespace: Namespace):
    done = run(*TOLD, "--kernel-id", KERNEL_ID, KUBECONFIG=str(cluster.kubeconfig), RKP_NAMESPACE=namespace.name)
    assert done.returncode == 0, done.stderr
    selector = f"kernel_id={KERNEL_ID},component=kernel"
    (pod,) = cluster.api.list_namespaced_pod(namespace.name, label_selector=selector).items
    assert done.stdout == f"Created pod {namespace.name}/{pod.metadata.name}\n"
    assert {"name": "RESPONSE_ADDRESS", "value": "127.0.0.1:1"} in [
        {"name": entry.name, "value": entry.value} for entry in pod.spec.containers[0].env
    ]
