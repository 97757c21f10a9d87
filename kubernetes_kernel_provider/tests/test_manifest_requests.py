"""What clients ask a pod for: resources, scheduling, volumes, a working directory."""

import pytest
from pod_launches import POD, parts

from remote_kernel_provider.errors import ParameterError, RefusedError, SpecError


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
