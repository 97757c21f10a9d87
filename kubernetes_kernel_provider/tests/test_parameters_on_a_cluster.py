"""Each parameter of a launch, before a real API server and in real kernels."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from cluster.fixtures import FOREIGN, IMAGE, ClusterUnderTest, Namespace
from kubernetes import client
from pod_launches import KEYS, request_of, write_spec

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import LaunchError, ParameterError, RefusedError
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels

pytestmark = pytest.mark.slow

LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [LINUX]}]}
    }
}
MOUNT = {"name": "v", "mountPath": "/v", "subPath": "s"}
SAID: dict[str, tuple[Any, str, Any]] = {
    "cpus": (1, "kernel.resources.requests.cpu", "1"),
    "cpus_limit": ("1500m", "kernel.resources.limits.cpu", "1500m"),
    "memory": ("64Mi", "kernel.resources.requests.memory", "64Mi"),
    "memory_limit": ("1Gi", "kernel.resources.limits.memory", "1Gi"),
    "gpus": (2, "kernel.resources.requests.nvidia.com/gpu", "2"),
    "gpus_limit": ("2", "kernel.resources.limits.nvidia.com/gpu", "2"),
    "resources": ({"amd.com/gpu": 1}, "kernel.resources.limits.amd.com/gpu", "1"),
    "volumes": ([{"name": "v", "emptyDir": {}}], "spec.volumes", [{"name": "v", "emptyDir": {}}]),
    "volume_mounts": ([MOUNT], "kernel.volumeMounts", [MOUNT]),
    "shm_size": ("64Mi", "spec.volumes", [{"name": "remote-kernel-shm", "emptyDir": {
        "medium": "Memory", "sizeLimit": "64Mi"}}]),
    "working_dir": ("/v/s", "kernel.workingDir", "/v/s"),
    "uid": ("1234", "spec.securityContext.runAsUser", 1234),
    "gid": (567, "spec.securityContext.runAsGroup", 567),
    "fs_group": (89, "spec.securityContext.fsGroup", 89),
    "service_account_name": ("runner", "spec.serviceAccountName", "runner"),
    "node_selector": ({"disk": "ssd"}, "spec.nodeSelector", {"disk": "ssd"}),
    "tolerations": ([{"key": "k", "operator": "Exists"}], "spec.tolerations", [{"key": "k", "operator": "Exists"}]),
    "affinity": (AFFINITY, "spec.affinity", AFFINITY),
    "priority_class_name": ("system-cluster-critical", "spec.priorityClassName", "system-cluster-critical"),
    "image": ("acme.org/other:1", "kernel.image", "acme.org/other:1"),
    "pull_policy": ("Always", "kernel.imagePullPolicy", "Always"),
    "image_pull_secrets": ("one, two", "spec.imagePullSecrets", [{"name": "one"}, {"name": "two"}]),
    "labels": ({"team": "red"}, "metadata.labels.team", "red"),
    "annotations": ({"acme.org/note": "a\nb"}, "metadata.annotations.acme.org/note", "a\nb"),
    "active_deadline": ("60", "spec.activeDeadlineSeconds", 60),
    "pod_name": ("own-{{ kernel_team }}", "metadata.name", "own-red-…"),
    "launch_timeout": (77, "kernel.env.KERNEL_LAUNCH_TIMEOUT", "77"),
    "class_name": ("acme.Kernel", "kernel.env.KERNEL_CLASS_NAME", "acme.Kernel"),
    "executor_image": ("acme.org/x:1", "kernel.env.KERNEL_EXECUTOR_IMAGE", "acme.org/x:1"),
    "spark_context_init_mode": ("lazy", "kernel.env.KERNEL_SPARK_CONTEXT_INIT_MODE", "lazy"),
    "extra_spark_opts": ("--conf a=b", "kernel.env.KERNEL_EXTRA_SPARK_OPTS", "--conf a=b"),
    "team": ("red", "kernel.env.KERNEL_TEAM", "red"),
}  # fmt: skip
"""By a parameter: what is said, the place in the pod where it arrives, and what is then there.

A place without an index is of a list when what is there is one: all its items are in the list.
"""

ELSEWHERE = {"namespace", "runtime_class_name"}
"""Parameters with a test of their own."""


def at(pod: dict[str, Any], place: str) -> Any:
    """Return what is at a place in a pod; a name may have dots and a slash in it."""
    (kernel,) = pod["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in kernel["env"]}
    found: Any = {**pod, "kernel": {**kernel, "env": environment}}
    steps = place.split(".")
    while steps:
        length = next(size for size in range(1, len(steps) + 1) if ".".join(steps[:size]) in found)
        found = found[".".join(steps[:length])]
        steps = steps[length:]
    return found


@pytest.fixture
def tried(cluster: ClusterUnderTest, namespace: Namespace, tmp_path: Path):
    """Have the cluster try a pod; returns it as the cluster would have it."""
    settings = RemoteKernelSettings(
        namespace=namespace.name, mirror_working_dirs=True, shared_namespace=False, allowed_service_accounts=["run*"]
    )

    def make(values: dict[str, Any]) -> dict[str, Any]:
        spec = write_spec(tmp_path, config={"namespace": namespace.name})
        request = request_of(spec, values, settings=settings)
        placement = place(request, settings, HostAccount("none"))
        pod = make_manifests(request, placement, settings).pod.document
        made = cluster.api.create_namespaced_pod(namespace.name, pod, dry_run="All", field_validation="Strict")
        return dict(cluster.api.api_client.sanitize_for_serialization(made))

    cluster.api.create_namespaced_service_account(namespace.name, {"metadata": {"name": "runner"}})
    return make


def check_arrived(parameter: str, pod: dict[str, Any]) -> None:
    _, place, expected = SAID[parameter]
    found = at(pod, place)
    if isinstance(expected, list):
        assert [item for item in found if item in expected] == expected, parameter
    elif isinstance(expected, str) and expected.endswith("…"):
        assert found.startswith(expected[:-1]), parameter
    else:
        assert found == expected, parameter


def test_each_arrives_in_the_pod(tried) -> None:
    # The table of parameters says which there are: a new one has to be proven here.
    assert {*SAID, *ELSEWHERE} - {"team"} == {key.parameter for key in KEYS if key.parameter}
    pod = tried({parameter: said for parameter, (said, _, _) in SAID.items()})
    for parameter in SAID:
        check_arrived(parameter, pod)


def test_each_arrives_as_a_text_too(tried) -> None:
    """A client of Jupyter's says everything by the environment, as text."""
    said = {name: value if isinstance(value, str) else json.dumps(value) for name, (value, _, _) in SAID.items()}
    pod = tried(said)
    for parameter in SAID:
        check_arrived(parameter, pod)


@pytest.mark.skipif(bool(FOREIGN), reason="makes a class that a whole cluster has")
def test_a_runtime_class(cluster: ClusterUnderTest, tried) -> None:
    api, name = client.NodeV1Api(cluster.api.api_client), f"rkp-test-{uuid.uuid4().hex[:8]}"
    with pytest.raises(client.ApiException, match=f'RuntimeClass \\\\"{name}\\\\" not found'):
        tried({"runtime_class_name": name})
    api.create_runtime_class({"metadata": {"name": name}, "handler": "runc"})
    try:
        assert tried({"runtime_class_name": name})["spec"]["runtimeClassName"] == name
    finally:
        api.delete_runtime_class(name)


@pytest.fixture
def free(in_namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients set everything, and mirror working directories."""
    names = [key.parameter for key in KEYS if key.parameter]
    monkeypatch.setenv("RKP_CLIENT_PARAMETERS", ",".join(names))
    monkeypatch.setenv("RKP_MIRROR_WORKING_DIRS", "true")


def test_a_real_kernel_has_them(free: None, kernels: Kernels, cluster: ClusterUnderTest) -> None:
    (node, *_) = cluster.api.list_node().items
    host_name = node.metadata.labels["kubernetes.io/hostname"]
    manager = kernels.start(
        "light",
        cpus="100m",
        memory="64Mi",
        memory_limit="300Mi",
        volumes=[{"name": "work", "emptyDir": {"sizeLimit": "10Mi"}}],
        volume_mounts=[{"name": "work", "mountPath": "/work"}],
        shm_size="16Mi",
        uid=1234,
        gid=567,
        fs_group=89,
        working_dir="/work",
        node_selector={"kubernetes.io/hostname": host_name},
        tolerations=[{"operator": "Exists"}],
        active_deadline=600,
        team="a b",
    )
    look = """
import json, os, pathlib
limits = [pathlib.Path(f"/sys/fs/cgroup/{name}") for name in ("memory.max", "memory/memory.limit_in_bytes")]
shm = os.statvfs("/dev/shm")
pathlib.Path("made").touch()
print(json.dumps({
    "limit": [int(file.read_text()) for file in limits if file.exists()],
    "shm": shm.f_blocks * shm.f_frsize,
    "ids": [os.getuid(), os.getgid(), 89 in os.getgroups(), os.stat("/work").st_gid],
    "folder": os.getcwd(),
    "made": os.listdir("/work"),
    "team": os.environ["KERNEL_TEAM"],
}))
"""
    with Notebook(manager.connection) as notebook:
        found = json.loads(notebook.run(look).text)
    assert found == {
        "limit": [300 * 2**20],
        "shm": 16 * 2**20,
        "ids": [1234, 567, True, 89],
        "folder": "/work",
        "made": ["made"],
        "team": "a b",
    }


SCHEMA = {"launch_parameter_schema": {"type": "object", "properties": {
    "memory": {"type": "string", "enum": ["64Mi", "128Mi"]},
    "node_selector": {"type": "object", "properties": {"disk": {"enum": ["ssd"]}}, "additionalProperties": False},
}}}  # fmt: skip


def test_what_is_wrong_is_refused_before_anything_is_created(
    kernels: Kernels, in_namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stanza = {"lifecycle_manager": {"class_name": "kubernetes", "config": {"image_name": IMAGE}}}
    kernels.add_spec("bounded", ["python", "{connection_file}"], metadata={**stanza, **SCHEMA})
    created: list[str] = []
    request = ClusterClient.request

    async def recording(self: ClusterClient, method: str, path: str, **how: Any) -> Any:
        if method == "POST":
            created.append(path)
        return await request(self, method, path, **how)

    monkeypatch.setattr(ClusterClient, "request", recording)
    for spec, values, error in [
        ("light", {"memory": "1GB"}, ParameterError),
        ("light", {"cpus": "2", "cpus_limit": "1"}, ParameterError),
        ("light", {"gpus": "0.5"}, ParameterError),
        ("light", {"uid": 0}, RefusedError),
        ("light", {"node_selector": {"disk": "ssd"}}, RefusedError),
        ("bounded", {"memory": "1Gi"}, ParameterError),
        ("bounded", {"node_selector": {"disk": "hdd"}}, ParameterError),
        ("bounded", {"node_selector": {"zone": "a"}}, ParameterError),
        ("bounded", {"tolerations": []}, RefusedError),
    ]:
        with pytest.raises(error):
            kernels.start(spec, **values)
    assert [path for path in created if not path.endswith("/leases")] == []
    assert in_namespace.objects() == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"priority_class_name": "nowhere"}, "NoPriorityClass"), ({"runtime_class_name": "nowhere"}, "NoRuntimeClass")],
)
def test_what_only_the_cluster_knows_to_be_wrong(
    free: None, kernels: Kernels, in_namespace: Namespace, values: dict[str, str], reason: str
) -> None:
    with pytest.raises(LaunchError, match="nowhere") as failure:
        kernels.start("light", **values)
    assert failure.value.status is not None
    assert failure.value.status.reason == reason
    assert in_namespace.objects() == []
