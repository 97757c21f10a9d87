"""Specs of the gateway family: what `launch_kubernetes.py` is told becomes the spec's own word.

The rules that it shares with `launch_docker.py` are tested with that.
"""

import json

import pytest
import yaml
from pod_launches import request_of

from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from kubernetes_kernel_provider.preview import preview_launch
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.cli.spec_checks import check_specs
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RefusedError, SpecError
from remote_kernel_provider.findings import PROBLEM

FOLDER = "/usr/local/share/jupyter/kernels/data_sci_py"
SCRIPT = f"{FOLDER}/scripts/launch_kubernetes.py"
LAUNCH = [
    *("--kernel-id", "{kernel_id}", "--port-range", "{port_range}"),
    *("--response-address", "{response_address}", "--public-key", "{public_key}"),
]


@pytest.fixture
def find(tmp_path, monkeypatch):
    """Write a spec as that family's installer does, and have it found."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    file = tmp_path / "kernels/data_sci_py/kernel.json"
    file.parent.mkdir(parents=True)

    def find(*argv, env=None, **config):
        stanza = {
            "provisioner_name": "kubernetes-provisioner",
            "config": {"image_name": "acme/data-sci-py:2.0", "launch_timeout": 30, **config},
        }
        document = {
            "argv": list(argv),
            "env": env or {},
            "display_name": "Data Science 2.0",
            "language": "python",
            "interrupt_mode": "signal",
            "metadata": {"debugger": True, "kernel_provisioner": stanza},
        }
        file.write_text(json.dumps(document))
        provider = KubernetesKernelProvider()
        return provider.prepare(provider.find("data_sci_py")[0])

    return find


def objects(spec):
    """The pod and the kernel's container of a launch."""
    request = request_of(spec)
    settings = RemoteKernelSettings()
    pod = make_manifests(request, place(request, settings, HostAccount("team")), settings).pod.document
    container = kernel_container(pod["spec"])
    return pod, container, {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.mark.parametrize("prefix", ["--", "--RemoteProcessProxy."])
def test_its_options(find, prefix):
    said = [f"{prefix}spark-context-initialization-mode", "lazy", "--kernel-class-name", "acme.Kernel"]
    words = [word.replace("--", prefix) for word in LAUNCH]
    spec = find("python", SCRIPT, *words, *said, f"{prefix}transport-encryption=required")
    assert (spec.argv, spec.handshake) == ((), "reported")
    assert (spec.config["launch_timeout"], spec.config["transport_encryption"]) == (30, "required")
    assert request_of(spec).parameters.encryption == "required"
    _, container, environment = objects(spec)
    assert "command" not in container
    assert environment["KERNEL_SPARK_CONTEXT_INIT_MODE"] == "lazy"
    assert environment["KERNEL_CLASS_NAME"] == "acme.Kernel"


def test_a_range_of_ports(find):
    assert find("python", SCRIPT, *LAUNCH, "--port-range", "40000..41000").config["port_range"] == (40000, 41000)
    assert "port_range" not in find("python", SCRIPT, *LAUNCH).config


def test_its_environment_is_what_its_template_would_print(find):
    env = {
        "KERNEL_IMAGE": "acme/own:1", "KERNEL_MEMORY": "2Gi", "KERNEL_CPUS_LIMIT": "2", "KERNEL_NAMESPACE": "labs",
        "KERNEL_SERVICE_ACCOUNT_NAME": "science", "KERNEL_UID": "1500", "KERNEL_WORKING_DIR": "/work",
        "KERNEL_VOLUMES": '[{"name": "d", "emptyDir": {}}]', "OTHER": "x",
    }  # fmt: skip
    pod, container, environment = objects(find("python", SCRIPT, *LAUNCH, env=env))
    spec = pod["spec"]
    assert (pod["metadata"]["namespace"], spec["serviceAccountName"]) == ("labs", "science")
    assert container["image"] == "acme/own:1"
    assert container["resources"] == {"requests": {"memory": "2Gi"}, "limits": {"cpu": "2"}}
    assert container["workingDir"] == "/work"
    assert {"name": "d", "emptyDir": {}} in spec["volumes"]
    assert spec["securityContext"]["runAsUser"] == 1500
    assert (environment["OTHER"], environment["KERNEL_MEMORY"]) == ("x", "2Gi")


def test_policy_holds(find):
    with pytest.raises(RefusedError, match="prohibited_uids"):
        request_of(find("python", SCRIPT, *LAUNCH, env={"KERNEL_UID": "0"}))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["python", "{resource_dir}/scripts/launch_mine.py", "{response_address}"], "launch_mine.py' on the host"),
        ([f"{FOLDER}/bin/run.sh", "--RemoteProcessProxy.kernel-id", "{kernel_id}"], "run.sh' on the host"),
        (["python", SCRIPT, *LAUNCH, "--pod-template", "/tmp/pod.yaml"], "gives launch_kubernetes.py '--pod-template'"),
        (["python", SCRIPT, "--kernel-image", "acme/x"], "'--kernel-image', of which a launch here knows nothing"),
    ],
)
def test_what_is_not_known_is_an_error_that_says_what_to_do(find, argv, words):
    with pytest.raises(SpecError) as failure:
        find(*argv)
    assert words in str(failure.value)
    assert "config" in str(failure.value)
    (found,) = [each for each in check_specs(RemoteKernelSettings()) if each.subject == "kernel k8skp/data_sci_py"]
    assert (found.state, found.seen) == (PROBLEM, str(failure.value))


def test_a_script_whose_folder_is_mounted(find):
    mounts = [{"name": "kernels", "mountPath": "/usr/local/share/jupyter/kernels"}]
    argv = (f"{FOLDER}/start.sh", "{response_address}")
    assert find(*argv, volume_mounts=mounts).argv == argv


def test_a_preview_shows_what_the_script_would_create(find):
    provider = KubernetesKernelProvider()
    find("python", SCRIPT, *LAUNCH, env={"KERNEL_MEMORY": "2Gi"})
    spec, _ = provider.find("data_sci_py")
    (pod,) = yaml.safe_load_all(preview_launch("k8skp", spec, RemoteKernelSettings()))
    assert "command" not in pod["spec"]["containers"][0]
    assert pod["spec"]["containers"][0]["resources"] == {"requests": {"memory": "2Gi"}}
