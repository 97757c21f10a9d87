"""Templates before a real API server: their faults are found at their lines, their objects live with the pod."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.configuration import GROUP
from cluster.fixtures import LIGHT, ClusterUnderTest, Namespace
from kubernetes import client
from pod_launches import POD, template_with

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.template_files import PACKAGED_TEMPLATE, TEMPLATE
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

FINE = template_with("terminationGracePeriodSeconds: 5")
CONFIG_MAP = '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ kernel_pod_name }}"}\n'

TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")


@pytest.fixture
def template(kernels: Kernels, tmp_path: Path) -> Path:
    """The template beside a spec called `edited`."""
    kernels.add_spec("edited", TINY)
    file = tmp_path / "data/kernels/edited" / TEMPLATE
    file.parent.mkdir()
    return file


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bool]]]:
    """What is created on the way, by kind, and whether it was but tried."""
    found: list[tuple[str, bool]] = []
    request = ClusterClient.request

    async def recording(self: ClusterClient, method: str, path: str, **how: Any) -> Any:
        if method == "POST":
            found.append((how["body"]["kind"], "dryRun" in (how.get("query") or {})))
        return await request(self, method, path, **how)

    monkeypatch.setattr(ClusterClient, "request", recording)
    return found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (template_with("hostNme: x"), 'unknown field "spec.hostNme"'),
        (template_with("hostname: A_B"), "spec.hostname: Invalid value"),
        (template_with("C: {privilegd: true}"), 'unknown field "spec.containers[0].securityContext.privilegd"'),
        (template_with("dnsPolicy: Never"), "spec.dnsPolicy: Unsupported value"),
        (template_with("P: [{containerPort: 70000}]"), "spec.containers[0].ports[0].containerPort: Invalid value"),
        (f"{FINE}{CONFIG_MAP}dta: {{a: b}}\n", 'unknown field "dta"'),
        (f"{FINE}{CONFIG_MAP}data: {{'a/b': c}}\n", "data[a/b]: Invalid value"),
        (
            f"{FINE}{CONFIG_MAP.replace('ConfigMap', 'PersistentVolumeClaim')}spec: {{accessModes: []}}\n",
            "spec.accessModes: Required value",
        ),
        (f"{FINE}---\nmetadata: {{name: '{{{{ kernel_pod_name }}}}'}}\nkind: T\napiVersion: acme.org/v1", "kind T"),
    ],
)
def test_a_fault_is_found_before_anything_is_created(
    kernels: Kernels, template: Path, created: list[tuple[str, bool]], text: str, fault: str
) -> None:
    template.write_text(text)
    with pytest.raises(LaunchError) as failure:
        kernels.start("edited")
    line = len(text.splitlines()) - 2 * ("acme.org" in text)
    assert f"{template}, line {line}: " in str(failure.value)
    assert fault in str(failure.value)
    assert failure.value.status is not None
    assert failure.value.status.reason == "InvalidManifest"
    assert all(tried for kind, tried in created if kind in text)


def test_a_template_is_tried_when_it_has_changed(
    kernels: Kernels, template: Path, created: list[tuple[str, bool]]
) -> None:
    def launched() -> list[tuple[str, bool]]:
        created.clear()
        run(kernels.start("edited").kill())
        return [(kind, tried) for kind, tried in created if kind in ("Pod", "ConfigMap")]

    template.write_bytes(PACKAGED_TEMPLATE.read_bytes())
    assert launched() == [("Pod", False)]
    template.write_text(FINE + CONFIG_MAP)
    assert sorted(launched()) == [("ConfigMap", False), ("ConfigMap", True), ("Pod", False), ("Pod", True)]
    assert sorted(launched()) == [("ConfigMap", False), ("Pod", False)]
    template.write_text(f"{FINE}{CONFIG_MAP}data: {{a: b}}\n")
    assert sorted(launched()) == [("ConfigMap", False), ("ConfigMap", True), ("Pod", False), ("Pod", True)]


def test_what_only_some_launches_print_has_its_line_too(kernels: Kernels, template: Path, in_namespace) -> None:
    template.write_text(f"{FINE}{CONFIG_MAP}data:\n  '{{% if kernel_odd is defined %}}a/{{% endif %}}b': c\n")
    run(kernels.start("edited").kill())
    with pytest.raises(LaunchError, match=r"kernel-pod\.yaml\.j2, line 12: ConfigMap .* data\[a/b\]: Invalid value"):
        kernels.start("edited", odd="yes")
    assert in_namespace.objects() == []


def test_where_nothing_can_be_tried_the_launch_goes_on(
    kernels: Kernels, template: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Webhooks that know no dry run were made for old versions of the API: this cluster takes none any more."""
    request = ClusterClient.request

    async def refusing(self: ClusterClient, method: str, path: str, **how: Any) -> Any:
        if "dryRun" in (how.get("query") or {}):
            raise ClusterError('admission webhook "old.acme.org" does not support dry run', 400, "BadRequest")
        return await request(self, method, path, **how)

    monkeypatch.setattr(ClusterClient, "request", refusing)
    template.write_text(FINE)
    for _ in range(2):
        run(kernels.start("edited").kill())
    (record,) = [record for record in caplog.records if "before its first launch" in record.getMessage()]
    assert '"old.acme.org" does not support dry run' in record.getMessage()


KINDS = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ kernel_pod_name }}-notes"}
data: {note: "{{ kernel_note }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: "{{ kernel_pod_name }}-token"}
stringData: {token: "{{ kernel_note }}"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{ kernel_pod_name }}-data"}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: {{ kernel_storage }}
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: "{{ kernel_pod_name }}"}
spec:
  selector: {kernel_id: "{{ kernel_id }}"}
  ports: [{port: 80, targetPort: 8050}]
---
apiVersion: GROUP/v1
kind: Widget
metadata: {name: "{{ kernel_pod_name }}"}
spec: {size: 3, note: "{{ kernel_note }}"}
"""
WITH_KINDS = f"""\
{POD}spec:
  containers:
  - name: kernel
    volumeMounts:
    - {{name: notes, mountPath: /notes}}
    - {{name: token, mountPath: /token}}
    - {{name: data, mountPath: /data}}
  volumes:
  - {{name: notes, configMap: {{name: "{{{{ kernel_pod_name }}}}-notes"}}}}
  - {{name: token, secret: {{secretName: "{{{{ kernel_pod_name }}}}-token"}}}}
  - {{name: data, persistentVolumeClaim: {{claimName: "{{{{ kernel_pod_name }}}}-data"}}}}
{KINDS}"""


@pytest.fixture
def widgets(cluster: ClusterUnderTest) -> str:
    """The group of a custom resource."""
    if cluster.own is None:
        pytest.skip("the cluster of TEST_KUBECONFIG is not given a custom resource")
    return GROUP


@pytest.fixture
def storage(cluster: ClusterUnderTest, tmp_path: Path) -> Iterator[str]:
    """The class of a volume in a folder of this machine, `tmp_path/volume`."""
    if cluster.own is None:
        pytest.skip("the nodes of TEST_KUBECONFIG do not have this machine's folders")
    folder = tmp_path / "volume"
    folder.mkdir()
    folder.chmod(0o777)
    name = f"rkp-test-{uuid.uuid4().hex[:8]}"
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "hostPath": {"path": str(folder)},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    cluster.api.create_persistent_volume({"metadata": {"name": name}, "spec": spec})
    yield name
    cluster.api.delete_persistent_volume(name)


def test_objects_of_all_kinds_live_with_the_pod(
    kernels: Kernels,
    template: Path,
    cluster: ClusterUnderTest,
    in_namespace: Namespace,
    widgets: str,
    storage: str,
    tmp_path: Path,
) -> None:
    template.write_text(WITH_KINDS.replace("GROUP", widgets))
    custom = client.CustomObjectsApi(cluster.api.api_client)
    note = 'a: "b"\n{{ c }} 日本'

    def objects() -> list[dict[str, Any]]:
        api, name = cluster.api, in_namespace.name
        lists = [
            api.list_namespaced_config_map(name),
            api.list_namespaced_secret(name),
            api.list_namespaced_persistent_volume_claim(name),
            api.list_namespaced_service(name),
        ]
        found = [api.api_client.sanitize_for_serialization(each) for one in lists for each in one.items]
        found += custom.list_namespaced_custom_object(widgets, "v1", name, "widgets")["items"]
        return [each for each in found if each["metadata"]["name"] != "kube-root-ca.crt"]

    kernels.add_spec("edited", LIGHT)
    manager = kernels.start("edited", note=note, storage=storage)
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(ascii(open('/notes/note').read()))").text == f"{note!a}\n"
        assert notebook.run("print(ascii(open('/token/token').read()))").text == f"{note!a}\n"
        assert notebook.run("print(open('/data/written', 'w').write('by the kernel'))").text == "13\n"
    assert (tmp_path / "volume/written").read_text() == "by the kernel"
    found = objects()
    assert len(found) == 6  # with the connection Secret
    for each in found:
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Pod", manager.resource.id)
    (widget,) = custom.list_namespaced_custom_object(widgets, "v1", in_namespace.name, "widgets")["items"]
    assert widget["spec"] == {"size": 3, "note": note}
    run(manager.shutdown())
    # The collector learns of new kinds every half minute, and the cluster may have begun just now.
    until(lambda: objects() == [], 90, "the cluster removes what the pod owned")


def test_a_fault_in_a_custom_resource(kernels: Kernels, template: Path, widgets: str, in_namespace) -> None:
    text = f"{FINE}---\napiVersion: {widgets}/v1\nkind: Widget\nmetadata: {{name: '{{{{ kernel_pod_name }}}}'}}\n"
    for line, fault in (("spec: {size: x}", "spec.size: Invalid value"), ("spec: {colour: 1}", "spec.colour")):
        template.write_text(f"{text}{line}\n")
        with pytest.raises(LaunchError) as failure:
            kernels.start("edited")
        assert f"kernel-pod.yaml.j2, line {len(text.splitlines()) + 1}: " in str(failure.value)
        assert fault in str(failure.value)
    assert in_namespace.objects() == []
