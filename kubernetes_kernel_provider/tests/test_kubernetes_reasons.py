"""Why a kernel does not run, told live by a real cluster."""

import signal
import time
from collections.abc import Callable

import pytest
from cluster.fixtures import LIGHT, Namespace

from kubernetes_kernel_provider.reasons import MISSING_OBJECT_PATIENCE
from remote_kernel_provider.errors import KernelDiedError, LaunchError, LaunchTimeoutError
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


@pytest.fixture
def add_template(kernels: Kernels) -> Callable[[str, str], None]:
    """Give the spec a template of its own."""

    def add(spec: str, container: str = "", document: str = "") -> None:
        kernels.add_spec(spec, LIGHT)
        scripts = kernels.provider.specs()[spec].resource_dir / "scripts"
        scripts.mkdir()
        (scripts / "kernel-pod.yaml.j2").write_text(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: '{{ kernel_pod_name }}'}\nspec:\n"
            f"{document}  containers:\n  - name: kernel\n    image: '{{{{ kernel_image }}}}'\n{container}"
        )

    return add


def refusal(kernels: Kernels, spec: str = "light", **values: object) -> LaunchError:
    with pytest.raises(LaunchError) as failure:
        kernels.start(spec, **values)
    return failure.value


def test_a_pod_that_no_node_takes_waits_and_says_so_at_once(kernels):
    steps: list[LaunchProgress] = []
    kernels.add_spec("patient", LIGHT, config={"wait_timeout": 3})
    with pytest.raises(LaunchTimeoutError, match=r"within 3 s \(wait_timeout\)") as failure:
        kernels.start("patient", memory="4Ti", progress=steps.append)
    status = failure.value.status
    assert (status.phase, status.reason) == (Phase.PENDING, "Unschedulable")
    assert "Insufficient memory" in status.message
    assert next(step.elapsed for step in steps if step.status.reason == "Unschedulable") < 2.5


def test_a_registry_that_does_not_answer_may_come_back(kernels):
    kernels.add_spec("patient", LIGHT, config={"wait_timeout": 4, "image_name": "127.0.0.1:9/acme/python:1"})
    error = refusal(kernels, "patient")
    assert isinstance(error, LaunchTimeoutError)
    assert (error.status.phase, error.status.reason) == (Phase.PULLING, "RegistryUnreachable")
    assert "connection refused" in error.status.message


def test_an_image_name_that_is_none(kernels):
    kernels.add_spec("wrong", LIGHT, config={"image_name": "acme/UPPER:1"})
    error = refusal(kernels, "wrong")
    assert isinstance(error, KernelDiedError)
    assert error.status.reason == "InvalidImageName"


def test_a_missing_secret_ends_the_launch_when_nobody_makes_it(kernels, add_template):
    add_template(
        "lacking",
        "    env:\n    - name: TOKEN\n      valueFrom: {secretKeyRef: {name: nobodys, key: token}}\n",
    )
    began = time.monotonic()
    error = refusal(kernels, "lacking")
    assert error.status.reason == "CreateContainerConfigError"
    assert 'secret "nobodys" not found' in str(error)
    assert MISSING_OBJECT_PATIENCE <= time.monotonic() - began < MISSING_OBJECT_PATIENCE + 15


def test_a_missing_volume_is_told_by_events(kernels, add_template):
    add_template(
        "lacking",
        "    volumeMounts: [{name: data, mountPath: /data}]\n",
        "  volumes: [{name: data, configMap: {name: nobodys}}]\n",
    )
    error = refusal(kernels, "lacking")
    assert error.status.reason == "FailedMount"
    assert 'configmap "nobodys" not found' in str(error)


def test_a_kernel_that_runs_out_of_memory(kernels):
    manager = kernels.start("light", memory_limit="256Mi")
    with Notebook(manager.connection) as notebook:
        notebook.begin("huge = bytearray(10**9)")
        run(manager.wait(), 30)
    assert (manager.status.phase, manager.status.reason) == (Phase.FAILED, "OOMKilled")
    assert "256Mi" in manager.status.message


def test_a_deadline_of_the_cluster(kernels):
    kernels.add_spec("short", LIGHT, config={"active_deadline": 12})
    manager = kernels.start("short")
    run(manager.wait(), 60)
    assert manager.status.reason == "DeadlineExceeded"


@pytest.mark.parametrize("way", ["delete", "evict"])
def test_a_pod_that_somebody_else_ends(kernels, in_namespace, way):
    manager = kernels.start("light")
    pod = manager.resource.data["pod"]
    if way == "delete":
        in_namespace.api.delete_namespaced_pod(pod, in_namespace.name, grace_period_seconds=1)
    else:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        in_namespace.api.create_namespaced_pod_eviction(pod, in_namespace.name, eviction)
    run(manager.wait(), 30)
    assert manager.status.reason == {"delete": "Deleted", "evict": "Drained"}[way]


def test_a_pod_that_is_removed_while_it_starts(kernels, in_namespace):
    def remove(step: LaunchProgress) -> None:
        for name in in_namespace.objects():
            if name.startswith("V1Pod"):
                in_namespace.api.delete_namespaced_pod(name.split()[1], in_namespace.name, grace_period_seconds=0)

    kernels.add_spec("silent", ("python", "-c", "import time; time.sleep(600)", "{connection_file}"))
    error = refusal(kernels, "silent", progress=remove)
    assert error.status.reason in ("Deleted", "Gone")  # the latter where it went before anybody saw it


def test_a_quota_that_is_full(kernels, in_namespace):
    in_namespace.api.create_namespaced_resource_quota(
        in_namespace.name, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    )
    quota = in_namespace.api.read_namespaced_resource_quota
    until(lambda: quota("none", in_namespace.name).status.used, 20, "the quota's count")
    error = refusal(kernels)
    assert error.status.reason == "QuotaExceeded"
    assert "k8skp/light" in str(error)
    assert "requested: pods=1" in str(error)


def test_a_namespace_whose_security_level_refuses_the_pod(kernels, add_template):
    kernels.host.settings.pod_security = "privileged"
    add_template("bold", document="  hostNetwork: true\n")
    error = refusal(kernels, "bold")
    assert error.status.reason == "PodSecurity"
    assert "host namespaces" in str(error)


def test_a_service_account_that_is_not_there(kernels):
    kernels.add_spec("other", LIGHT, config={"service_account_name": "nobody"})
    assert refusal(kernels, "other").status.reason == "NoServiceAccount"


def test_a_misspelt_field_of_a_template(kernels, add_template):
    add_template("misspelt", document="  nodeSelektor: {}\n")
    error = refusal(kernels, "misspelt")
    assert error.status.reason == "InvalidManifest"
    assert 'unknown field "spec.nodeSelektor"' in str(error)


def test_namespaces_that_are_not_there_or_on_their_way_out(kernels, in_namespace: Namespace, cluster):
    kernels.add_spec("nowhere", LIGHT, config={"namespace": "rkp-test-nowhere"})
    assert refusal(kernels, "nowhere").status.reason == "NoNamespace"
    leaving = Namespace(cluster)
    holding = {"metadata": {"name": "x", "finalizers": ["remote-kernel-provider/test"]}}
    leaving.api.create_namespaced_config_map(leaving.name, holding)
    try:
        leaving.delete()
        kernels.add_spec("leaving", LIGHT, config={"namespace": leaving.name})
        assert refusal(kernels, "leaving").status.reason == "NamespaceTerminating"
    finally:
        leaving.api.patch_namespaced_config_map("x", leaving.name, {"metadata": {"finalizers": None}})


def test_a_signal_reaches_the_kernel_and_nobody_else(kernels, add_template):
    add_template("pair", document="")
    template = kernels.provider.specs()["pair"].resource_dir / "scripts" / "kernel-pod.yaml.j2"
    sidecar = "  - name: sidecar\n    image: '{{ kernel_image }}'\n    command: [sleep, '600']\n"
    template.write_text(template.read_text().replace("  containers:\n", f"  containers:\n{sidecar}"))
    manager = kernels.start("pair")
    with Notebook(manager.connection) as notebook:
        notebook.run("import signal; seen = []; signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))")
        run(manager.signal(signal.SIGUSR1))
        assert notebook.run("print(seen)").text == "[1]\n"
    assert "sidecar" not in run(manager.logs())
