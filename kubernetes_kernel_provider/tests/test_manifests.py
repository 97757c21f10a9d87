"""From a launch's request to objects: what is owned, what is asked for, what is refused."""

import json
from pathlib import Path

import pytest
import yaml
from pod_launches import COMMAND, HOST, KERNEL_ID, POD, parts, request_of, variables, write_spec

from kubernetes_kernel_provider.manifests import make_manifests, owner_labels, place, resource_of, to_yaml
from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.owner import Owner


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
    assert variables(container)["KERNEL_USERNAME"] == "ada"
    json.dumps(pod)


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
    assert variables(container)["HOME"] == "/home/jovyan"
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
    # Whoever may create pods may write such a thing.
    planted = json.dumps({**resource.to_json(), "lifecycle": "local"})
    created["metadata"]["annotations"] = {"remote-kernel-provider/kernel": planted}
    assert resource_of(created) is None


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
