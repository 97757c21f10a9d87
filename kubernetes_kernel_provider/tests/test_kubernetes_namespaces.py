"""Namespaces: shared, named by clients, and made for one kernel; and what the permissions do not allow."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cluster.fixtures import IMAGE, LIGHT, ClusterUnderTest, Namespace
from cluster_users import KERNELS, without
from kubernetes import client as official
from pod_launches import KERNEL_ID, request_of, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, make_namespace, place
from kubernetes_kernel_provider.names import is_dns_label, is_like_own_namespace, is_own_namespace, own_namespace
from kubernetes_kernel_provider.preview import preview_launch
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from kubernetes_kernel_provider.template_files import NAMESPACE_TEMPLATE
from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.errors import ConfigurationError, LaunchError, RemoteKernelError, SpecError
from remote_kernel_provider.host import Host
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

IN_A_CLUSTER = HostAccount("hosts", "jupyter")
OUTSIDE = HostAccount("default")
OURS = "app=remote-kernel-provider,component=namespace"


def own(tmp_path, *, host=OUTSIDE, user="ada", settings=None, template="", **config):
    """The namespace of a launch that has one to itself."""
    settings = settings or RemoteKernelSettings()
    settings.shared_namespace = False
    if template:
        file = tmp_path / "namespace.yaml.j2"
        file.write_text(template)
        settings.namespace_template = str(file)
    request = request_of(write_spec(tmp_path, config=config), settings=settings, user=user)
    return make_namespace(request, place(request, settings, host), settings, host)


def kinds(made):
    return [other.kind for other in made.others]


@pytest.mark.parametrize("user", ["ada", "0123", "ADA", "ada.lovelace@acme.org", "日本", "x" * 300, "", "-", "../x"])
def test_names(user):
    name = own_namespace(user, KERNEL_ID, "g1")
    assert is_like_own_namespace(name)
    assert is_dns_label(name)
    assert KERNEL_ID in name
    assert is_own_namespace(name, KERNEL_ID, "g1")
    assert not is_own_namespace(name, KERNEL_ID, "g2")
    assert own_namespace(user, KERNEL_ID, "g2") != name
    for theirs in ("default", "kube-system", f"ada-{KERNEL_ID}", ""):
        assert not is_own_namespace(theirs, KERNEL_ID, "g1")
        assert not is_like_own_namespace(theirs)


def test_nobody_names_a_namespace(tmp_path):
    settings = RemoteKernelSettings(shared_namespace=False, namespace="unused")
    request = request_of(write_spec(tmp_path), settings=settings)
    placement = place(request, settings, IN_A_CLUSTER)
    assert (placement.automatic, placement.service_account) == (True, "default")
    assert placement.namespace == own_namespace("ada", KERNEL_ID, request.generation)
    assert not place(request_of(write_spec(tmp_path, config={"namespace": "labs"})), settings, OUTSIDE).automatic
    settings.shared_namespace = True
    assert not place(request, settings, OUTSIDE).automatic


def test_what_a_namespace_is_made_of(tmp_path):
    made = own(tmp_path, user="Ada Lovelace")
    metadata = made.namespace.document["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert metadata["labels"].items() >= {
        "app": "remote-kernel-provider", "component": "namespace", "kernel_id": KERNEL_ID,
    }.items()  # fmt: skip
    assert kinds(made) == ["ResourceQuota"]
    assert {other.document["metadata"]["namespace"] for other in made.others} == {made.name}
    settings = RemoteKernelSettings(kernel_cluster_role="readers", pod_security="baseline")
    made = own(tmp_path, host=IN_A_CLUSTER, settings=settings, service_account_name="science")
    assert made.namespace.document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert kinds(made) == ["ServiceAccount", "RoleBinding", "NetworkPolicy", "RoleBinding", "ResourceQuota"]
    host, kernel = (other.document for other in made.others if other.kind == "RoleBinding")
    assert host["subjects"] == [{"kind": "ServiceAccount", "name": "jupyter", "namespace": "hosts"}]
    assert kernel["roleRef"]["name"] == "readers"
    assert kernel["subjects"] == [{"kind": "ServiceAccount", "name": "science", "namespace": made.name}]


def test_cluster_admin_is_never_bound():
    with pytest.raises(ConfigurationError, match="kernel_cluster_role is never 'cluster-admin'"):
        load_settings(environment={"GP_KERNEL_CLUSTER_ROLE": "cluster-admin"})
    assert load_settings(environment={"GP_KERNEL_CLUSTER_ROLE": "readers"}).kernel_cluster_role == "readers"


MINIMAL = "apiVersion: v1\nkind: Namespace\nmetadata:\n"


def test_an_operators_template(tmp_path):
    labels = "{team: '{{ kernel_username }}', app: theirs, component: kernel, remote-kernel-provider/user: eve}"
    made = own(tmp_path, template=f"{MINIMAL}  name: kube-system\n  labels: {labels}\n", user="bob")
    metadata = made.namespace.document["metadata"]
    assert is_own_namespace(metadata["name"], KERNEL_ID, "0123456789ab")
    assert (metadata["labels"]["team"], metadata["labels"]["app"]) == ("bob", "remote-kernel-provider")
    assert metadata["labels"]["remote-kernel-provider/user"] == "bob"
    quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: kube-system}\n"
    made = own(tmp_path, template=f"{MINIMAL}  name: x\n---\n{quota}")
    assert made.others[0].document["metadata"]["namespace"] == made.name
    for template, message in (
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "has 0 objects of the kind Namespace"),
        (f"{MINIMAL}  name: x\n---\n{MINIMAL}  name: y\n", "has 2 objects of the kind Namespace"),
        (f"{MINIMAL}  name: x\n---\napiVersion: v1\nkind: Node\nmetadata: {{name: x}}\n", "line 7: kind Node belongs"),
        (f"{MINIMAL}  name: '{{{{ nobody }}}}'\n", "line 4: 'nobody' is undefined"),
    ):
        with pytest.raises(SpecError, match=message):
            own(tmp_path, template=template)


def test_values_stay_values(tmp_path):
    hostile = 'x"\n  finalizers: [kubernetes]\n---\nkind: Node #{{ 7*7 }}'
    template = f'{MINIMAL}  name: x\n  annotations: {{said: "{{{{ kernel_username }}}}"}}\n'
    made = own(tmp_path, template=template, user=hostile)
    metadata = made.namespace.document["metadata"]
    assert metadata["annotations"]["said"] == hostile
    assert set(metadata) == {"name", "labels", "annotations"}
    assert made.others == ()


def test_a_preview_shows_it(tmp_path):
    settings = RemoteKernelSettings(shared_namespace=False)
    printed = list(yaml.safe_load_all(preview_launch("k8skp", write_spec(tmp_path), settings)))
    assert [document["kind"] for document in printed] == ["Namespace", "ResourceQuota", "Pod", "Secret"]
    assert {document["metadata"].get("namespace") for document in printed[1:]} == {printed[0]["metadata"]["name"]}


@pytest.fixture
def start_host(
    in_namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Kernels]]:
    """Makes hosts that read their settings from the environment; ends their kernels."""
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind.lower()))
    made: list[Kernels] = []

    def start(kubeconfig: Path | None = None, **settings: str) -> Kernels:
        if kubeconfig is not None:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        for name, value in settings.items():
            monkeypatch.setenv(f"RKP_{name.upper()}", value)
        host = Host(load_settings())
        config = {"image_name": IMAGE, "launch_timeout": 120}
        kernels = Kernels(KubernetesKernelProvider(host), tmp_path / "data" / "kernels", "", config)
        kernels.add_spec("light", LIGHT)
        made.append(kernels)
        return kernels

    yield start
    for kernels in made:
        kernels.close()
        run(kernels.host.close())


def own_namespaces(cluster: ClusterUnderTest, kernel_id: str) -> list[official.V1Namespace]:
    """The namespaces that were made for a kernel, and are not about to end."""
    listed = cluster.api.list_namespace(label_selector=f"{OURS},kernel_id={kernel_id}").items
    return [found for found in listed if found.metadata.deletion_timestamp is None]


def has_gone(cluster: ClusterUnderTest, name: str) -> bool:
    return all(found.metadata.name != name for found in cluster.api.list_namespace().items)


@pytest.mark.slow
def test_a_namespace_for_each_kernel(cluster, in_namespace, start_host):
    kernels = start_host(shared_namespace="false")
    manager = kernels.start("light")
    name = manager.resource.data["namespace"]
    (made,) = own_namespaces(cluster, manager.kernel_id)
    assert made.metadata.name == name
    assert made.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"
    (quota,) = cluster.api.list_namespaced_resource_quota(name).items
    assert quota.status.used["pods"] == "1"
    assert cluster.api.list_namespaced_pod(in_namespace.name).items == []
    assert [found.kernel_id for found in kernels.find()] == [manager.kernel_id]

    # A restart has a new namespace.
    restarted = run(kernels.launch("light", kernel_id=manager.kernel_id, replaces=manager))
    assert restarted.resource.data["namespace"] != name
    run(manager.kill())
    until(lambda: has_gone(cluster, name), 60, f"the end of {name}")
    (again,) = own_namespaces(cluster, manager.kernel_id)
    assert again.metadata.name == restarted.resource.data["namespace"]

    # Deleted from outside, and its kernel with it.
    cluster.api.delete_namespace(again.metadata.name)
    assert run(asyncio.wait_for(restarted.wait(), 60)) is not None
    run(restarted.kill())
    until(lambda: kernels.find() == [], 30, "the end of the pod")


@pytest.mark.slow
def test_a_failed_launch_leaves_no_namespace(cluster, start_host, tmp_path):
    template = tmp_path / "namespace.yaml.j2"
    template.write_text(NAMESPACE_TEMPLATE.read_text().replace('pods: "10"', 'pods: "0"'))
    kernels = start_host(shared_namespace="false", namespace_template=str(template))
    kernel_id = str(uuid.uuid4())
    with pytest.raises(LaunchError, match="exceeded quota") as failure:
        run(kernels.launch("light", kernel_id=kernel_id))
    assert failure.value.status.reason == "QuotaExceeded"
    assert own_namespaces(cluster, kernel_id) == []
    template.write_text(NAMESPACE_TEMPLATE.read_text().replace("spec:", "sepc:"))
    with pytest.raises(LaunchError, match=f"{template}, line [0-9]+"):
        run(kernels.launch("light", kernel_id=kernel_id))
    assert own_namespaces(cluster, kernel_id) == []


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_a_cancelled_launch_leaves_no_namespace(cluster, start_host, delay):
    kernels, kernel_id = start_host(shared_namespace="false"), str(uuid.uuid4())

    async def cancel() -> None:
        launching = asyncio.ensure_future(kernels.launch("light", kernel_id=kernel_id))
        done, _ = await asyncio.wait([launching], timeout=delay)
        if done:  # on a fast machine there is nothing left to cancel
            await launching.result().kill()
            return
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching

    run(cancel())
    until(lambda: own_namespaces(cluster, kernel_id) == [], 30, "the end of the namespace")


@pytest.mark.slow
def test_only_ours_are_removed(cluster, start_host):
    kernels = start_host(shared_namespace="false")
    manager = kernels.start("light")
    name = manager.resource.data["namespace"]
    namespaces = kernels.lifecycle._namespaces
    (found,) = run(namespaces.kernels(OwnerSelector(host_id=kernels.host.identity.host_id)))
    assert (found.kernel_id, found.data["namespace"]) == (manager.kernel_id, name)

    # Neither another launch's, nor one that only has the name, nor one that only has the labels.
    run(namespaces.remove(replace(found, generation="another")))
    run(namespaces.remove(replace(found, data={**found.data, "namespace": "default"})))
    labels = {"app": None, "component": None}
    cluster.api.patch_namespace(name, {"metadata": {"labels": labels}})
    run(namespaces.remove(found))
    assert cluster.api.read_namespace(name).metadata.deletion_timestamp is None
    cluster.api.patch_namespace(
        name, {"metadata": {"labels": {"app": "remote-kernel-provider", "component": "namespace"}}}
    )
    run(namespaces.remove(found))
    assert cluster.api.read_namespace(name).metadata.deletion_timestamp is not None
    run(manager.kill())


@pytest.mark.slow
def test_a_namespace_that_its_host_left_before_the_pod_is_found(cluster, start_host):
    kernels = start_host(shared_namespace="false")
    manager = kernels.start("light")
    name = manager.resource.data["namespace"]
    cluster.api.delete_namespaced_pod(manager.resource.data["pod"], name, grace_period_seconds=1)
    run(manager.wait())
    until(lambda: kernels.find() == [], 30, "the end of the pod")
    (left,) = run(kernels.lifecycle._namespaces.kernels(OwnerSelector(host_id=kernels.host.identity.host_id)))
    run(kernels.lifecycle.delete(left, 0))
    assert own_namespaces(cluster, manager.kernel_id) == []


@pytest.mark.slow
def test_a_namespace_that_a_client_names(cluster, namespace, users, start_host):
    allowed = users.kubeconfig("allowed", KERNELS)
    kernels = start_host(
        allowed,
        shared_namespace="false",
        allowed_namespaces=namespace.name,
        allowed_service_accounts="allowed,default",
    )
    manager = kernels.start("light", namespace=namespace.name, service_account_name="allowed")
    pod = cluster.api.read_namespaced_pod(manager.resource.data["pod"], namespace.name)
    assert pod.spec.service_account_name == "allowed"
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    run(manager.kill())
    assert namespace.objects() == []
    # It stays, whoever made it.
    assert cluster.api.read_namespace(namespace.name).metadata.deletion_timestamp is None


def rules_of(message: str) -> list[dict[str, object]]:
    """The rules that an error asks for, as YAML has them."""
    return yaml.safe_load(message[message.index("rules: ") :])["rules"]


@pytest.mark.slow
def test_what_a_named_namespace_does_not_allow_is_said_before_the_launch(namespace, users, start_host):
    refused = users.kubeconfig("refused", without("secrets", "create")[:2])
    kernels = start_host(refused, shared_namespace="false", allowed_namespaces=namespace.name)
    with pytest.raises(LaunchError, match="lacks the permission for giving kernels their keys") as failure:
        kernels.start("light", namespace=namespace.name)
    assert failure.value.status.reason == "PermissionDenied"
    assert rules_of(str(failure.value)) == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    events = namespace.api.list_namespaced_event(namespace.name).items
    assert [event for event in events if event.involved_object.kind == "Pod"] == []


@pytest.mark.slow
def test_a_host_that_may_not_make_namespaces_says_so(users, start_host):
    kernels = start_host(users.kubeconfig("modest", KERNELS), shared_namespace="false")
    with pytest.raises(LaunchError, match="add to this host's ClusterRole") as failure:
        kernels.start("light")
    (rule,) = rules_of(str(failure.value))
    assert rule["resources"] == ["namespaces"]
    assert rule["verbs"] == ["create", "delete", "get", "list"]


@pytest.mark.slow
def test_what_it_may_not_do_in_a_namespace_that_it_has_made_is_the_cluster_roles(cluster, users, start_host):
    if cluster.own is None:
        pytest.skip("makes ClusterRoles, which are not for the cluster of TEST_KUBECONFIG")
    namespaces = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "delete", "get", "list"]}
    quotas = {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["create"]}
    # The role of kernels' namespaces, as if a RoleBinding had given it there, without the right to Secrets.
    lacking = users.kubeconfig("lacking", [], [namespaces, quotas, KERNELS[0]])
    kernels, kernel_id = start_host(lacking, shared_namespace="false"), str(uuid.uuid4())
    with pytest.raises(LaunchError, match="permission for giving kernels their keys") as failure:
        run(kernels.launch("light", kernel_id=kernel_id))
    role, _, _ = str(failure.value).partition(": rules: ")
    assert role.endswith(
        "add to this host's ClusterRole for its kernels' own namespaces (remote-kernels-host), which a RoleBinding of "
        "the namespace's template gives it there"
    )
    assert rules_of(str(failure.value)) == [KERNELS[1]]
    assert own_namespaces(cluster, kernel_id) == []


@pytest.mark.slow
def test_what_a_namespace_is_made_of_and_may_not_be_created_is_said_before_it_is_made(
    cluster, users, start_host, tmp_path
):
    """What fills the namespace has no RoleBinding yet that could give it."""
    if cluster.own is None:
        pytest.skip("makes ClusterRoles, which are not for the cluster of TEST_KUBECONFIG")
    template = tmp_path / "kernel-namespace.yaml.j2"
    quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\n"
    policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n"
    template.write_text("---\n".join((f"{MINIMAL}  name: x\n", quota, policy)))
    namespaces = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", "delete", "get", "list"]}
    lacking = users.kubeconfig("lacking", [], [namespaces, KERNELS[0]])
    kernels = start_host(lacking, shared_namespace="false", namespace_template=str(template))
    kernel_id = str(uuid.uuid4())
    told = "for what a kernel's namespace is made of.*add to this host's ClusterRole: "
    with pytest.raises(LaunchError, match=told) as failure:
        run(kernels.launch("light", kernel_id=kernel_id))
    assert rules_of(str(failure.value)) == [
        {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["create"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create"]},
    ]
    assert cluster.api.list_namespace(label_selector=f"{OURS},kernel_id={kernel_id}").items == []


@pytest.mark.slow
def test_a_kind_that_the_cluster_does_not_know_is_an_error_at_its_line(cluster, start_host, tmp_path):
    template = tmp_path / "kernel-namespace.yaml.j2"
    template.write_text(f"{MINIMAL}  name: x\n---\napiVersion: acme.example/v1\nkind: Nothing\nmetadata: {{name: n}}\n")
    kernels, kernel_id = start_host(shared_namespace="false", namespace_template=str(template)), str(uuid.uuid4())
    with pytest.raises(LaunchError, match=r"kernel-namespace\.yaml\.j2, line \d.*no objects of the kind Nothing"):
        run(kernels.launch("light", kernel_id=kernel_id))
    assert cluster.api.list_namespace(label_selector=f"{OURS},kernel_id={kernel_id}").items == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resource", "verb"),
    [("pods", "create"), ("pods", "watch"), ("secrets", "create"), ("pods/portforward", "create")],
)
def test_each_missing_verb_is_named(namespace, users, start_host, resource, verb):
    lacking = users.kubeconfig("lacking", without(resource, verb))
    kernels = start_host(lacking, kubernetes_route="port-forward")
    with pytest.raises(RemoteKernelError, match=namespace.name) as failure:
        kernels.start("light")
    (rule,) = rules_of(str(failure.value))
    assert rule["resources"] == [resource]
    assert verb in rule["verbs"]
    until(lambda: namespace.objects() == [], 30, "an empty namespace")
