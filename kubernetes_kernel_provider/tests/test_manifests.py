"""From a launch's request to objects: what is owned, what is asked for, what is refused."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from pod_launches import COMMAND, FORBIDDEN, KERNEL_ID, POD, request_of, template_with, write_spec

from kubernetes_kernel_provider.manifests import (
    HostAccount,
    connection_secret,
    make_manifests,
    owner_labels,
    place,
    read_memory,
    resource_of,
    to_yaml,
)
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import KernelGoneError, ParameterError, RefusedError, SpecError
from remote_kernel_provider.owner import Owner

HOST = HostAccount("team", "jupyter")


@pytest.fixture
def settings():
    return RemoteKernelSettings()


@pytest.fixture
def launch(tmp_path, settings):
    """Make the manifests of a launch."""

    def make(values=None, *, template="", spec=None, **request):
        spec = write_spec(tmp_path, template=template, **(spec or {}))
        asked = request_of(spec, values, settings=settings, **request)
        return make_manifests(asked, place(asked, settings, HOST), settings)

    return make


def parts(manifests):
    pod = manifests.pod.document
    return pod, pod["spec"], kernel_container(pod["spec"])


def environment(container):
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_a_pod_by_default(launch):
    pod, spec, container = parts(launch())
    assert pod["metadata"]["name"].startswith(f"ada-{KERNEL_ID}-")
    assert pod["metadata"]["namespace"] == "team"
    assert (
        pod["metadata"]["labels"].items()
        >= {
            "kernel_id": KERNEL_ID,
            "component": "kernel",
            "app": "remote-kernel-provider",
            "remote-kernel-provider/generation": "0123456789ab",
            "remote-kernel-provider/user": "ada",
        }.items()
    )
    own = ("restartPolicy", "shareProcessNamespace", "enableServiceLinks", "automountServiceAccountToken")
    assert [spec[name] for name in own] == ["Never", True, False, False]
    assert spec["serviceAccountName"] == "default"
    assert spec["terminationGracePeriodSeconds"] == 5
    assert container["name"] == "kernel"
    assert container["image"] == "acme/science:2.0"
    assert container["command"] == [*COMMAND[:-1], "/run/remote-kernel/connection.json"]
    assert "resources" not in container
    assert "workingDir" not in container
    assert environment(container)["KERNEL_USERNAME"] == "ada"
    json.dumps(pod)


def test_the_floor_of_every_container(launch):
    template = (
        f"{POD}spec:\n  initContainers: [{{name: i, image: x}}]\n  containers: [{{name: a}}, {{name: s, image: x}}]\n"
    )
    _, spec, _ = parts(launch(template=template))
    assert spec["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 100,
        "fsGroup": 100,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(("line", "at", "level"), FORBIDDEN)
def test_what_a_level_forbids_is_an_error_at_its_line(launch, settings, line, at, level):
    template = template_with(line)
    with pytest.raises(SpecError) as error:
        launch(template=template)
    assert at in str(error.value)
    assert f"line {template.count(chr(10))}: " in str(error.value)
    assert f"'{settings.pod_security}'" in str(error.value)
    if level == "restricted":
        settings.pod_security = "baseline"
        launch(template=template)
    settings.pod_security = "privileged"
    launch(template=template)


@pytest.mark.parametrize("level", ["restricted", "baseline", "privileged"])
@pytest.mark.parametrize("line", ["hostPID: true", "securityContext: {runAsUser: 0}", "ephemeralContainers: []"])
def test_what_no_level_allows(launch, settings, level, line):
    settings.pod_security = level
    with pytest.raises(SpecError, match=r"line 6: spec\."):
        launch(template=f"{POD}spec:\n  containers: [{{name: k}}]\n  {line}\n")


def test_prohibited_users_of_the_spec_add_up(launch, settings):
    template = f"{POD}spec:\n  containers: [{{name: k, securityContext: {{runAsUser: 7}}}}]\n"
    launch(template=template)
    with pytest.raises(SpecError, match="runAsUser is 7, one of prohibited_uids"):
        launch(template=template, spec={"config": {"prohibited_uids": [7]}})


@pytest.mark.parametrize(("name", "value"), [("uid", "0"), ("gid", 0), ("fs_group", 0), ("uid", 0)])
def test_a_prohibited_id_is_refused(launch, name, value):
    with pytest.raises(RefusedError, match=f"{name} 0 is refused"):
        launch({name: value})


def test_who_the_kernel_runs_as(launch):
    def who(values, **spec):
        _, spec, container = parts(launch(values, **spec))
        names = ("runAsUser", "runAsGroup", "fsGroup")
        return [spec["securityContext"].get(name, container["securityContext"].get(name)) for name in names]

    fixed = f"{POD}spec:\n  containers: [{{name: k}}]\n  securityContext: {{runAsUser: 5, fsGroup: 6}}\n"
    inside = f"{POD}spec:\n  containers: [{{name: k, securityContext: {{runAsUser: 5}}}}]\n"
    assert who({}) == [1000, 100, 100]
    assert who({"uid": "1234"}) == [1234, 100, 100]
    assert who({"uid": 1234, "gid": 7}) == [1234, 7, 7]
    assert who({"gid": 7, "fs_group": 8}) == [1000, 7, 8]
    assert who({"uid": "image"}) == [None, None, None]
    assert who({}, template=fixed) == [5, 100, 6]
    assert who({"uid": 9}, template=fixed) == [9, 100, 6]
    _, spec, container = parts(launch({"uid": 9}, template=inside))
    assert (spec["securityContext"]["runAsUser"], container["securityContext"].get("runAsUser")) == (9, None)
    with pytest.raises(ParameterError, match="gid needs a uid"):
        launch({"uid": "image", "gid": 7})


def test_an_images_own_user_reads_its_connection_file(launch):
    _, spec, _ = parts(launch({"uid": "image"}))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["volumes"][0]["secret"]["defaultMode"] == 0o444
    _, spec, _ = parts(launch())
    assert spec["volumes"][0]["secret"]["defaultMode"] == 0o440


def test_the_connection_file_and_what_a_later_host_needs(tmp_path, settings):
    spec = write_spec(tmp_path)
    request = request_of(spec)
    manifests = make_manifests(request, place(request, settings, HOST), settings)
    pod, inside, container = parts(manifests)
    secret = connection_secret(pod, "uid-1", request.memory, lambda content: f"{len(content)}")
    assert inside["volumes"][0]["secret"]["secretName"] == secret["metadata"]["name"]
    assert container["volumeMounts"][0] == {
        "name": "remote-kernel-connection",
        "mountPath": "/run/remote-kernel",
        "readOnly": True,
    }
    # The memory is for hosts: it holds what clients said.
    (item,) = inside["volumes"][0]["secret"]["items"]
    assert json.loads(base64.b64decode(secret["data"][item["key"]])) == request.memory.connection.to_json()
    assert secret["immutable"] is True
    assert secret["metadata"]["namespace"] == "team"
    assert secret["metadata"]["labels"] == pod["metadata"]["labels"]
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": manifests.name, "uid": "uid-1"}
    ]
    assert request.memory.connection.key not in json.dumps(pod)
    assert read_memory(secret, "uid-1", lambda content, seal: seal == f"{len(content)}") == request.memory
    for broken in (secret | {"data": {}}, {}, secret | {"data": secret["data"] | {"seal": "?"}}):
        with pytest.raises(KernelGoneError, match="holds no memory"):
            read_memory(broken, "uid-1", lambda content, seal: True)
    with pytest.raises(KernelGoneError, match="not written by this user's host"):
        read_memory(secret, "uid-22", lambda content, seal: seal == f"{len(content)}")
    other = secret | {"data": secret["data"] | {"memory.json": base64.b64encode(b"{}").decode()}}
    with pytest.raises(KernelGoneError, match="cannot be adopted"):
        read_memory(other, "uid-1", lambda content, seal: True)


def test_a_writable_copy_of_the_connection_file(launch, tmp_path):
    hostile = "a b; $(id) `id` $HOME ' \" \n\\"
    _, spec, container = parts(launch(spec={"config": {"connection_file": "copied"}, "argv": [*COMMAND, hostile]}))
    assert spec["volumes"][1] == {
        "name": "remote-kernel-connection-copy",
        "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"},
    }
    shell, _, _, _, source, target, *command = container["command"]
    assert (shell, source, target) == (
        "sh",
        "/run/remote-kernel/connection.json",
        "/run/remote-kernel-copy/private/connection.json",
    )
    assert command[:5] == [*COMMAND[:-1], target]
    # As the cluster does it: `$$` is one `$`.
    words = [word.replace("$$", "$") for word in container["command"]]
    (tmp_path / "given").write_text("{}")
    words[4:] = [str(tmp_path / "given"), str(tmp_path / "own" / "copy"), "printf", "%s", words[-1]]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == hostile
    assert (tmp_path / "own" / "copy").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_a_kernel_that_is_given_curve_keys_can_write_its_connection_file(launch):
    _, _, container = parts(launch(encrypted=True))
    assert container["command"][0] == "sh"
    _, _, container = parts(launch(encrypted=True, spec={"config": {"connection_file": "mounted"}}))
    assert container["command"][0] == "python"


def test_the_reported_handshake_tells_by_environment(launch, tmp_path):
    script = [
        "python",
        "/x/scripts/launch_kubernetes.py",
        "--kernel-id",
        "{kernel_id}",
        "--response-address",
        "{response_address}",
    ]
    for argv in ([], script):
        _, spec, container = parts(launch(spec={"argv": argv}))
        assert "command" not in container
        assert [volume["name"] for volume in spec["volumes"]] == ["remote-kernel-home"]
    _, _, container = parts(launch(spec={"argv": ["python", "-m", "launcher", "{response_address}"]}))
    assert container["command"][:3] == ["python", "-m", "launcher"]


def test_the_environment(launch):
    template = (
        f"{POD}spec:\n  containers:\n  - name: k\n    env: [{{name: A, value: t}}, {{name: B, value: t}}, "
        "{name: KERNEL_ID, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n"
    )
    spec = {"env": {"B": "spec", "C": "spec", "D": "${HOME} $(A)"}}
    _, _, container = parts(launch({"team": "red"}, template=template, spec=spec, environment={"C": "client"}))
    found = environment(container)
    assert [found[name] for name in "ABC"] == ["t", "spec", "client"]
    assert found["D"] == "$${HOME} $$(A)"
    assert found["KERNEL_TEAM"] == "red"
    assert found["KERNEL_ID"] == KERNEL_ID
    assert len(found) == len(container["env"])


@pytest.mark.parametrize(
    ("name", "value"), [("A B", "x"), ("A=B", "x"), ("1A", "x"), ("", "x"), ("Ä", "x"), ("A", "\0"), ("A", "\ud800")]
)
def test_an_environment_that_cannot_be_had(launch, name, value):
    with pytest.raises(ParameterError):
        launch(environment={name: value})


def test_a_value_too_long_for_a_program(launch):
    launch(environment={"A": "x" * 131_000})
    with pytest.raises(ParameterError, match="the value of KERNEL_A is one that has 1000009 bytes") as error:
        launch({"a": "x" * 1_000_000})
    assert error.value.parameter == "a"
    with pytest.raises(ParameterError, match="the kernel's command has a word 'xxx"):
        launch(spec={"argv": [*COMMAND, "x" * 140_000]})


def test_a_home_that_can_be_written_to(launch):
    _, spec, container = parts(launch())
    assert environment(container)["HOME"] == "/home/kernel"
    assert {"name": "remote-kernel-home", "emptyDir": {}} in spec["volumes"]
    for own in (
        launch(spec={"env": {"HOME": "/home/jovyan"}}),
        launch(template=f"{POD}spec:\n  containers: [{{name: k, env: [{{name: HOME, value: /home/jovyan}}]}}]\n"),
    ):
        _, spec, container = parts(own)
        assert environment(container)["HOME"] == "/home/jovyan"
        assert [volume["name"] for volume in spec["volumes"]] == ["remote-kernel-connection"]


def test_resources(launch):
    asked = {
        "cpus": 2, "cpus_limit": "4", "memory": "1Gi", "gpus": "1",
        "resources": {"ephemeral-storage": "2Gi", "amd.com/gpu": 1},
    }  # fmt: skip
    template = (
        f"{POD}spec:\n  containers: [{{name: k, resources: {{requests: {{cpu: 1}}, limits: {{memory: 8Gi}}}}}}]\n"
    )
    _, _, container = parts(launch(asked, template=template.replace("cpu: 1", "cpu: '1'")))
    both = {"nvidia.com/gpu": "1", "ephemeral-storage": "2Gi", "amd.com/gpu": "1"}
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi", **both},
        "limits": {"cpu": "4", "memory": "8Gi", **both},
    }
    _, _, container = parts(launch({"gpus_limit": 2}))
    assert container["resources"] == {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cpus": "many"}, "parameter 'cpus' of kernel 'science' is 'many'; expected a quantity"),
        ({"memory": "1GB"}, "expected a quantity such as 500m, 2 or 1.5Gi"),
        ({"cpus": 3, "cpus_limit": 2}, "cpus 3 is more than its limit 2; ask for less, or raise cpus_limit"),
        ({"memory": "2Gi", "memory_limit": "1.5Gi"}, "memory 2Gi is more than its limit 1.5Gi"),
        ({"gpus": 1, "gpus_limit": 2}, "gpus 1 and gpus_limit 2 differ"),
        ({"gpus": "500m"}, "nvidia.com/gpu comes in whole numbers, not as 500m"),
        ({"resources": {"cpu": 1}}, "resources names 'cpu', which is the parameter cpus"),
        ({"resources": {"pods": 1}}, "resources names 'pods'; expected ephemeral-storage or a device"),
        ({"resources": {"Bad Name/x": 1}}, "resources names 'Bad Name/x'"),
        ({"resources": {"a.b/c": "1.5"}}, "a.b/c comes in whole numbers"),
        ({"resources": {"a.b/c": "x"}}, "expected a quantity"),
        ({"resources": [1]}, "expected an object"),
        ({"node_selector": {"a b": "x"}}, "node_selector has 'a b': 'x'"),
        ({"node_selector": {"a": "x" * 64}}, "node_selector has 'a'"),
        ({"labels": {"kernel_id": "x"}}, "labels has 'kernel_id', which is not yours to set"),
        ({"labels": {"remote-kernel-provider/user": "x"}}, "which is not yours to set"),
        ({"labels": {"a": "x\ny"}}, "labels has 'a'"),
        ({"annotations": {"a b": "x"}}, "annotations has 'a b', which no pod may have"),
        ({"annotations": {"remote-kernel-provider/kernel": "x"}}, "which is not yours to set"),
        ({"annotations": {"container.apparmor.security.beta.kubernetes.io/k": "unconfined"}}, "which no pod may have"),
        ({"active_deadline": 0}, "expected a positive number of whole seconds"),
        ({"pull_policy": "always"}, "expected Always, IfNotPresent or Never"),
        ({"priority_class_name": "a/b"}, "priority_class_name is 'a/b'; expected small letters, digits"),
        ({"runtime_class_name": ""}, "runtime_class_name is ''; expected small letters, digits"),
        ({"tolerations": "x"}, "expected a list"),
        ({"tolerations": ["x"]}, "tolerations[0] is 'x'; expected an object"),
        ({"tolerations": [{"keys": "a"}]}, "tolerations[0] has 'keys', which no cluster knows; did you mean 'key'?"),
        ({"tolerations": [{"tolerationSeconds": "1"}]}, "tolerations[0].tolerationSeconds is '1'; expected an integer"),
        ({"affinity": {"x": {}}}, "affinity has 'x', which no cluster knows; leave it out"),
        ({"affinity": {"nodeAffinity": {"x": 1}}}, "affinity.nodeAffinity has 'x'"),
        ({"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1GB"}}]},
         "volumes[0].emptyDir.sizeLimit is '1GB'; expected a quantity such as 500m, 2 or 1.5Gi"),
        ({"pod_name": "{{ kernel_x }}"}, "pod_name prints the unknown name 'kernel_x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_before_anything_is_created(launch, values, message):
    with pytest.raises(ParameterError) as error:
        launch(values)
    assert message in str(error.value)


def test_scheduling_and_the_image(launch):
    toleration = {"key": "gpu", "operator": "Exists"}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    asked = {
        "node_selector": {"disk": "ssd"}, "tolerations": [toleration], "affinity": affinity,
        "priority_class_name": "high", "runtime_class_name": "kata", "active_deadline": "3600",
        "image": "acme/other:1", "pull_policy": "Always", "image_pull_secrets": ["a", "b"],
        "labels": {"team": "red"}, "annotations": {"acme.org/why": "any\ntext: {{ x }}"},
    }  # fmt: skip
    template = (
        f"{POD}  labels: {{app: theirs, tier: batch}}\n".replace("{name: x}\n", "\n  name: x\n")
        + "spec:\n  nodeSelector: {pool: kernels}\n  tolerations: [{key: batch, operator: Exists}]\n"
        "  imagePullSecrets: [{name: a}]\n  priorityClassName: low\n  containers: [{name: k, image: theirs}]\n"
    )
    pod, spec, container = parts(launch(asked, template=template))
    assert spec["nodeSelector"] == {"pool": "kernels", "disk": "ssd"}
    assert spec["tolerations"] == [{"key": "batch", "operator": "Exists"}, toleration]
    assert spec["affinity"] == affinity
    names = ("priorityClassName", "runtimeClassName", "activeDeadlineSeconds")
    assert [spec[name] for name in names] == ["high", "kata", 3600]
    assert (container["image"], container["imagePullPolicy"]) == ("acme/other:1", "Always")
    assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["tier"], labels["app"]) == ("red", "batch", "remote-kernel-provider")
    assert pod["metadata"]["annotations"]["acme.org/why"] == "any\ntext: {{ x }}"
    with pytest.raises(ParameterError, match="node_selector asks for another 'pool' than the template"):
        launch({"node_selector": {"pool": "mine"}}, template=template)
    with pytest.raises(ParameterError, match="labels asks for another 'tier' than the template"):
        launch({"labels": {"tier": "x"}}, template=template)


def test_volumes(launch):
    asked = {
        "volumes": '[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]',
        "volume_mounts": [{"name": "data", "mountPath": "/data", "subPath": "x"}, {"name": "own", "mountPath": "/own"}],
        "shm_size": "2Gi",
    }
    loops = "{% for v in kernel_volumes %}\n  - {{ v }}\n{% endfor %}\n"
    template = f"{POD}spec:\n  containers: [{{name: k}}]\n  volumes:\n  - {{name: own, emptyDir: {{}}}}\n{loops}"
    _, spec, container = parts(launch(asked, template=template))
    # What the template has printed already is there once.
    assert [volume["name"] for volume in spec["volumes"]] == [
        "own", "data", "remote-kernel-connection", "remote-kernel-home", "remote-kernel-shm",
    ]  # fmt: skip
    assert {"name": "remote-kernel-shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert spec["volumes"][-1]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert container["volumeMounts"][2:4] == asked["volume_mounts"]


@pytest.mark.parametrize(
    ("volumes", "mounts", "message"),
    [
        ([{"name": "a", "hostPath": {"path": "/"}}], [], "volume 'a' is refused: it is a hostPath"),
        ([{"name": "a", "secret": {"secretName": "s"}}], [], "volume 'a' is refused: it is a secret"),
        ([{"name": "a", "persistentVolumeClam": {}}], [], "did you mean 'persistentVolumeClaim'"),
        ([{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}], [], "has 'a' with emptyDir, hostPath"),
        ([{"name": "a"}], [], "has 'a' with no type"),
        (["a"], [], "has an entry without a text 'name'"),
        ([{"emptyDir": {}}], [], "has an entry without a text 'name'"),
        ([{"name": "remote-kernel-connection", "emptyDir": {}}], [], "which is ours"),
        ([{"name": "a", "emptyDir": {}}, {"name": "a", "configMap": {}}], [], "which the pod has already"),
        ([], [{"name": "a", "mountPath": "/a"}], "mounts 'a', which is no volume"),
        ([], [{"name": "a"}], "without the texts 'name' and 'mountPath'"),
        ([{"name": "a", "emptyDir": {}}], [{"name": "a", "mountPath": "a"}], "expected an absolute path"),
        ([{"name": "a", "emptyDir": {}}], [{"name": "a", "mountPath": "/a/../b"}], "expected an absolute path"),
        (
            [{"name": "a", "emptyDir": {}}],
            [{"name": "a", "mountPath": "/run/remote-kernel/"}],
            "which is mounted already",
        ),
    ],
)
def test_volumes_that_are_refused(launch, volumes, mounts, message):
    with pytest.raises(ParameterError) as error:
        launch({"volumes": volumes, "volume_mounts": mounts})
    assert message in str(error.value)


def test_no_volume_shows_the_keys_of_a_kernel(launch, settings):
    settings.allowed_volume_types = ["secret", "projected"]
    launch({"volumes": [{"name": "a", "secret": {"secretName": "mine"}}]})
    key = "remote-kernel-bob-1"
    for source in ({"secret": {"secretName": key}}, {"projected": {"sources": [{"secret": {"name": key}}]}}):
        with pytest.raises(RefusedError, match="names a Secret with the keys of a kernel"):
            launch({"volumes": [{"name": "a", **source}]})


def test_an_operator_allows_what_he_names(launch, settings):
    settings.allowed_volume_types = ["hostPath"]
    asked = {"volumes": [{"name": "a", "hostPath": {"path": "/data"}}]}
    with pytest.raises(SpecError, match="pod_security"):
        launch(asked)
    settings.pod_security = "privileged"
    launch(asked)


def test_working_directories(launch, settings):
    def workdir(**how):
        return parts(launch(**how))[2].get("workingDir")

    assert workdir(working_dir="/home/ada/notebooks") is None
    assert workdir(values={"working_dir": "/asked"}) is None
    assert workdir(spec={"config": {"working_dir": "/srv"}}, working_dir="/home/ada") == "/srv"
    settings.mirror_working_dirs = True
    assert workdir(working_dir="/home/ada/notebooks") == "/home/ada/notebooks"
    assert workdir(values={"working_dir": "/asked"}, working_dir="/home/ada") == "/asked"


def test_several_objects(launch):
    template = f"""\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: "{{{{ kernel_pod_name }}}}-data"
  namespace: other
  labels: {{app: theirs, mine: x}}
spec:
  accessModes: [ReadWriteOnce]
---
{POD}spec:
  containers: [{{name: k}}]
---
apiVersion: acme.org/v1
kind: Quota
metadata: {{name: "q-{{{{ kernel_pod_name }}}}"}}
"""
    manifests = launch(template=template)
    claim, quota = manifests.owned("uid-1")
    assert claim.document["metadata"]["name"] == f"{manifests.name}-data"
    assert claim.document["metadata"]["namespace"] == quota.document["metadata"]["namespace"] == "team"
    assert claim.document["metadata"]["labels"]["mine"] == "x"
    assert claim.document["metadata"]["labels"]["app"] == "remote-kernel-provider"
    for other in (claim, quota):
        assert other.document["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert "ownerReferences" not in manifests.pod.document["metadata"]
    assert quota.line_of("metadata.name") == 18


def test_the_example_of_the_docs(launch):
    example = (Path(__file__).parents[2] / "docs/examples/kubernetes/kernel-pod.yaml.j2").read_text()
    manifests = launch({"team": "red", "cpus": "2"}, template=example)
    pod, spec, container = parts(manifests)
    assert pod["metadata"]["labels"].items() >= {"team": "red", "tier": "notebooks"}.items()
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}}
    assert environment(container)["HOME"] == "/home/jovyan"
    (claim,) = manifests.owned("uid-1")
    assert claim.document["spec"]["resources"] == {"requests": {"storage": "10Gi"}}
    assert claim.document["metadata"]["name"] in json.dumps(spec["volumes"])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("apiVersion: v1\nkind: ConfigMap\n", "has 0 objects of the kind Pod; a kernel needs one"),
        (f"{POD}---\n{POD}", "has 2 objects of the kind Pod"),
        (f"{POD}spec: {{}}", "line 4: spec has no containers"),
        (f"{POD}spec: {{containers: []}}", "line 4: spec has no containers"),
        (f"{POD}spec: {{containers: [{{name: k}}]}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: shared}}",
         "line 8: metadata.name must hold {{ kernel_pod_name }}"),
        (f"{POD}spec: {{containers: [{{name: k}}]}}\n---\napiVersion: v1\nkind: Secret",
         "line 6: metadata.name must hold {{ kernel_pod_name }}"),
        (f"{POD}spec: {{containers: [{{name: k}}]}}\n---\napiVersion: v1\nkind: Secret\n"
         'metadata: {name: "remote-kernel-{{ kernel_pod_name }}"}', "is that of the connection Secret"),
        (f"{POD}spec: {{containers: [{{name: k}}]}}\n---\napiVersion: v1\nkind: PersistentVolume\n"
         'metadata: {name: "{{ kernel_pod_name }}"}', "line 7: kind PersistentVolume belongs to the whole cluster"),
    ],
)  # fmt: skip
def test_objects_that_are_no_kernels(launch, template, message):
    with pytest.raises(SpecError) as error:
        launch(template=template)
    assert message in str(error.value)


def test_an_image_is_needed(launch, settings):
    bare = f"{POD}spec: {{containers: [{{name: k}}]}}"
    spec = {"language": "julia", "config": {"image_name": None}}
    with pytest.raises(SpecError, match="name no image, and there is no default one for 'julia'"):
        launch(template=bare, spec=spec)
    assert parts(launch(template=bare, spec={"config": {"image_name": None}}))[2]["image"].count("base-notebook") == 1
    own = bare.replace("name: k", "name: k, image: theirs")
    assert parts(launch(template=own, spec=spec))[2]["image"] == "theirs"


def test_the_container_called_kernel_is_the_kernels(launch):
    template = f"{POD}spec: {{containers: [{{name: proxy, image: p}}, {{name: kernel}}]}}"
    _, spec, container = parts(launch(template=template))
    assert container is spec["containers"][1]
    assert "command" not in spec["containers"][0]


def test_the_pods_owners(tmp_path, settings):
    spec = write_spec(tmp_path)
    request = request_of(spec)
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "jupyter", "uid": "u"}
    manifests = make_manifests(request, place(request, settings, HOST), settings, pod_owners=[owner])
    assert manifests.pod.document["metadata"]["ownerReferences"] == [owner]


def test_a_pod_tells_whose_it_is(launch):
    pod, _, _ = parts(launch(user="Ada Lovelace"))
    created = {**pod, "metadata": {**pod["metadata"], "uid": "uid-1"}}
    resource = resource_of(created)
    assert (resource.lifecycle, resource.id, resource.kernel_id) == ("kubernetes", "uid-1", KERNEL_ID)
    assert resource.kernel_name == "k8skp/science"
    assert resource.generation == "0123456789ab"
    assert resource.owner == Owner("Ada Lovelace", "host", "client-1")
    assert resource.data == {"namespace": "team", "pod": pod["metadata"]["name"]}
    assert owner_labels(resource.owner).items() <= pod["metadata"]["labels"].items()
    for annotations in ({}, {"remote-kernel-provider/kernel": "no JSON"}, {"remote-kernel-provider/kernel": "{}"}):
        assert resource_of({"metadata": {"name": "x", "annotations": annotations}}) is None
    assert resource_of({"metadata": {"name": "x"}}) is None


def test_printed_objects_hide_what_secrets_hold(launch, tmp_path):
    template = (
        f"{POD}spec: {{containers: [{{name: k}}]}}\n---\napiVersion: v1\nkind: Secret\n"
        'metadata: {name: "{{ kernel_pod_name }}-s"}\nstringData: {password: hunter2}\n'
    )
    manifests = launch(template=template)
    text = to_yaml([manifests.pod.document, *(other.document for other in manifests.others)])
    assert "hunter2" not in text
    pod, secret = yaml.safe_load_all(text)
    assert pod == manifests.pod.document
    assert secret["stringData"] == {"password": "***"}


def placed(tmp_path, settings, values=None, user="ada", host=HOST, **config):
    spec = write_spec(tmp_path, config=config)
    return place(request_of(spec, values, settings=settings, user=user), settings, host)


def test_one_namespace_for_all(tmp_path, settings):
    assert placed(tmp_path, settings).namespace == "team"
    settings.namespace = "kernels"
    assert placed(tmp_path, settings).namespace == "kernels"
    assert placed(tmp_path, settings, namespace="spec").namespace == "spec"
    assert placed(tmp_path, settings, {"namespace": "spec"}, namespace="spec").namespace == "spec"
    assert placed(tmp_path, settings, service_account_name="reader").service_account == "reader"
    settings.allowed_namespaces = ["*"]
    for parameter in ("namespace", "service_account_name"):
        with pytest.raises(RefusedError, match=f"{parameter} 'mine' is refused: all kernels share a namespace"):
            placed(tmp_path, settings, {parameter: "mine"})


def test_a_namespace_of_ones_own(tmp_path, settings):
    settings.shared_namespace = False
    with pytest.raises(RefusedError, match="namespace 'mine' is refused: allowed_namespaces allows none"):
        placed(tmp_path, settings, {"namespace": "mine"})
    settings.allowed_namespaces = ["user-{username}", "lab-*"]
    assert placed(tmp_path, settings, {"namespace": "user-ada"}).namespace == "user-ada"
    assert placed(tmp_path, settings, {"namespace": "lab-7"}).namespace == "lab-7"
    for user in ("bob", "*", "ad?", "[a]da", "Ada", "ADA"):
        with pytest.raises(RefusedError, match="allowed_namespaces allows"):
            placed(tmp_path, settings, {"namespace": "user-ada"}, user=user)
    with pytest.raises(ParameterError, match="expected small letters, digits and '-'"):
        placed(tmp_path, settings, {"namespace": "lab-../x"})
    assert not placed(tmp_path, settings, {"namespace": "lab-7"}).automatic
    asked = {"namespace": "lab-7", "service_account_name": "reader"}
    with pytest.raises(RefusedError, match="allowed_service_accounts allows none"):
        placed(tmp_path, settings, asked)
    settings.allowed_service_accounts = ["reader"]
    assert placed(tmp_path, settings, asked).service_account == "reader"


def test_the_hosts_own_account_is_refused(tmp_path, settings):
    with pytest.raises(RefusedError, match="service account 'jupyter' is refused: it is the host's own"):
        placed(tmp_path, settings, service_account_name="jupyter")
    assert placed(tmp_path, settings, service_account_name="jupyter", namespace="other").service_account == "jupyter"
    assert placed(tmp_path, settings, host=HostAccount("default")).service_account == "default"
