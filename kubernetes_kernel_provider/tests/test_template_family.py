"""Templates that people have: the gateway family's, and the package's own."""

from pathlib import Path

import pytest
import yaml
from familys_template import FAMILY, NAMES
from rendering import one, render

from kubernetes_kernel_provider.templates import load_template, render_objects


def test_the_familys_template_with_nothing_asked():
    pod = one(FAMILY, **NAMES)
    assert pod["metadata"] == {
        "name": "p",
        "namespace": "n",
        "labels": {"kernel_id": "i", "app": "gateway-provisioners"},
    }
    assert pod["spec"] == {
        "restartPolicy": "Never",
        "serviceAccountName": "s",
        "containers": [
            {
                "image": "acme/science:2.0",
                "name": "p",
                "volumeMounts": [{"mountPath": "/dev/shm", "name": "dshm"}],
            }
        ],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
    }


def test_the_familys_template_with_everything_asked():
    asked = {
        "kernel_uid": "1234", "kernel_gid": "200", "kernel_cpus": "2", "kernel_memory": "1Gi", "kernel_gpus": 1,
        "kernel_memory_limit": "2Gi", "kernel_working_dir": "/srv/work",
        "kernel_volumes": [{"name": "data", "nfs": {"server": "s", "path": "/"}}],
        "kernel_volume_mounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    spec = one(FAMILY, **NAMES, **asked)["spec"]
    assert spec["securityContext"] == {"runAsUser": 1234, "runAsGroup": 200, "fsGroup": 100}
    (container,) = spec["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "2Gi"},
    }
    assert container["workingDir"] == "/srv/work"
    assert container["volumeMounts"][1:] == asked["kernel_volume_mounts"]
    assert spec["volumes"][1:] == asked["kernel_volumes"]


@pytest.mark.parametrize("loader", ["SafeLoader", "CSafeLoader"])
def test_with_and_without_yaml_in_c(loader, monkeypatch):
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr("kubernetes_kernel_provider.templates.composing._LOADER", getattr(yaml, loader))
    (pod,) = render(FAMILY, **NAMES, kernel_volumes=[{"name": "é\n: x"}], kernel_uid="7")
    assert pod.document["spec"]["volumes"][1] == {"name": "é\n: x"}
    assert pod.document["spec"]["securityContext"]["runAsUser"] == 7
    assert "runAsUser" in FAMILY.split("\n")[pod.line_of("spec.securityContext.runAsUser") - 1]


def test_the_packages_own_template_is_one():
    file = Path(__file__).parents[1] / "src/kubernetes_kernel_provider/resources/kernel-pod.yaml.j2"
    (pod,) = render_objects(load_template(file), NAMES)
    assert pod.document["metadata"]["name"] == "p"
