"""What operators get: manifests for a host in a cluster, the smallest permissions, a doctor that names missing ones."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.errors import ClusterError
from cluster.fixtures import IMAGE, ClusterUnderTest, Namespace
from cluster.images import ROOT
from cluster.running import Cluster
from host_image import HOST_IMAGE, build_host_image

from kubernetes_kernel_provider import following
from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.connections import Connections
from kubernetes_kernel_provider.client.rules import KERNELS_RESOURCES, Rule, remedy_of, to_add
from kubernetes_kernel_provider.names import own_namespace
from kubernetes_kernel_provider.permissions import FOR_HOSTS, FOR_KERNELS, FOR_NAMESPACES
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

DEPLOY = ROOT / "kubernetes_kernel_provider/deploy"
HOST = "remote-kernels-host"
KERNEL_PODS = "app=remote-kernel-provider,component=kernel"


def shipped(kind: str, name: str = HOST) -> dict[str, Any]:
    """An object as it is shipped."""
    files = [file for file in DEPLOY.rglob("*.yaml") if file.name != "kustomization.yaml"]
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    (found,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def verbs(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """What rules allow, one by one."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed(*tables: Any) -> set[tuple[str, str, str]]:
    return verbs([need.rule.to_json() for table in tables for need in table])


def test_the_shipped_roles_are_what_the_code_needs():
    assert verbs(shipped("Role")["rules"]) == needed(FOR_KERNELS, FOR_HOSTS)
    assert verbs(shipped("ClusterRole")["rules"]) == needed(FOR_KERNELS)
    in_cluster = shipped("ClusterRole", "remote-kernels-namespaces")["rules"]
    assert verbs(in_cluster) - needed(FOR_NAMESPACES) == {
        ("", "resourcequotas", "create"),
        ("", "serviceaccounts", "create"),
        ("networking.k8s.io", "networkpolicies", "create"),
        ("rbac.authorization.k8s.io", "rolebindings", "create"),
        ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    }
    (bind,) = [rule for rule in in_cluster if "bind" in rule["verbs"]]
    assert bind["resourceNames"] == [HOST]


def test_nobody_is_given_everything():
    for file in DEPLOY.rglob("*.yaml"):
        assert "cluster-admin" not in file.read_text()
        for document in yaml.safe_load_all(file.read_text()):
            for rule in document.get("rules", []):
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


OWN = own_namespace("ada", "3f2b9c1e-0b7a-4a57-9b58-4f2d1c9a7e60", "0123456789ab")


def test_a_refusal_names_the_rule():
    words = (
        'pods is forbidden: User "ada" cannot create resource "pods" in API group "" in the namespace "team": no reason'
    )
    assert remedy_of(words) == (
        "add to this host's Role in the namespace 'team': "
        "rules: [{apiGroups: [''], resources: [pods], verbs: [create]}]"
    )
    words = 'x is forbidden: User "ada" cannot list resource "leases" in API group "coordination.k8s.io" at the cluster'
    assert remedy_of(words).startswith("add to this host's ClusterRole: rules: [{apiGroups: [coordination.k8s.io]")
    assert remedy_of("pods is forbidden: exceeded quota: pods") == ""
    in_own = f'x is forbidden: User "a" cannot get resource "pods/log" in API group "" in the namespace "{OWN}"'
    assert remedy_of(in_own).startswith("add to this host's ClusterRole for its kernels' own namespaces (remote-kern")
    assert remedy_of(in_own.replace("pods/log", "rolebindings")).startswith("add to this host's ClusterRole: rules")
    assert {need.rule.resource.partition("/")[0] for need in FOR_KERNELS} == KERNELS_RESOURCES
    written = to_add([Rule("pods/log", ("get",)), Rule("leases", ("get", "list"), "coordination.k8s.io")], "")
    assert yaml.safe_load(written[written.index("rules: ") :])["rules"][1]["verbs"] == ["get", "list"]


class HostInACluster:
    """The shipped manifests in a test's namespace, with an image of this very tree."""

    def __init__(self, cluster: Cluster, namespace: Namespace, folder: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.folder = folder
        self.namespace = namespace.name
        self.account = f"system:serviceaccount:{namespace.name}:{HOST}"

    def kubectl(self, *words: str) -> str:
        """Run kubectl in the host's namespace."""
        return self._cluster.kubectl("--namespace", self.namespace, *words)

    def cluster_kubectl(self, *words: str) -> str:
        return self._cluster.kubectl(*words)

    def may(self, *question: str) -> bool:
        """Whether the host may do something, as `kubectl auth can-i` says."""
        answer = self._cluster.kubectl("auth", "can-i", *question, "--as", self.account, check=False)
        return answer.strip() == "yes"

    def apply(self, *components: str) -> None:
        """Apply the base and some components; return when the host serves."""
        # The cluster of the tests has no storage for claims.
        home = {"op": "replace", "path": "/spec/template/spec/volumes/0", "value": {"name": "home", "emptyDir": {}}}
        image, _, tag = HOST_IMAGE.rpartition(":")
        document = {
            "namespace": self._namespace.name,
            "resources": [os.path.relpath(DEPLOY / "base", self.folder)],
            "components": [os.path.relpath(DEPLOY / "components" / name, self.folder) for name in components],
            "images": [{"name": HOST, "newName": image, "newTag": tag}],
            "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps([home])}],
        }
        (self.folder / "kustomization.yaml").write_text(json.dumps(document))
        self.kubectl("apply", "-k", str(self.folder))
        self.kubectl("rollout", "status", f"deployment/{HOST}", "--timeout=120s")

    def delete(self) -> None:
        """Remove what was applied, and the namespaces that hosts in pods left in tests that failed."""
        self.kubectl("delete", "-k", str(self.folder), "--ignore-not-found", "--wait=false")
        left = "app=remote-kernel-provider,component=namespace,remote-kernel-provider/user=1000"
        self._cluster.kubectl("delete", "namespaces", "--selector", left, "--wait=false")

    def run(self, *words: str) -> str:
        """Run a program in the host's pod and return what it printed."""
        return self.kubectl("exec", f"deployment/{HOST}", "--", *words)

    def refused(self, *words: str) -> str:
        """Run a program in the host's pod, which fails; return what it complained of."""
        with pytest.raises(ClusterError) as failure:
            self.run(*words)
        return str(failure.value)

    def install_kernel(self) -> None:
        self.run("jupyter", "k8s-kernelspec", "install", "--user", f"--image-name={IMAGE}", "--launch-timeout=120")

    def set_rules(self, rules: list[dict[str, Any]]) -> None:
        """Give the host's Role these rules alone."""
        patch = [{"op": "replace", "path": "/rules", "value": rules}]
        self.kubectl("patch", "role", HOST, "--type=json", "--patch", json.dumps(patch))

    def permitted(self) -> set[tuple[str, str, str]]:
        """What the host may do in its namespace, as the cluster says, beyond what everybody may."""
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
        file = self.folder / "review.json"
        file.write_text(json.dumps({**review, "spec": {"namespace": self.namespace}}))
        groups = ("--as-group=system:serviceaccounts", "--as-group=system:authenticated")
        asked = ("create", "-f", str(file), "-o", "json", "--validate=false", "--as", self.account, *groups)
        rules = json.loads(self._cluster.kubectl(*asked))["status"]["resourceRules"]
        everybodys = ("authorization.k8s.io", "authentication.k8s.io")
        return {found for found in verbs(rules) if found[0] not in everybodys}

    def kernel_pods(self) -> list[Any]:
        """The kernels' pods in the host's namespace."""
        return list(self._namespace.api.list_namespaced_pod(self.namespace, label_selector=KERNEL_PODS).items)


CONFIG = {"image_name": IMAGE, "launch_timeout": 120}
KERNEL = "k8skp/k8skp_python"
RUN = ("jupyter", "remote-kernel", "run", "--kernel", KERNEL, "-c", "print(6 * 7)")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, str]]:
    """What hosts of this process ask of API servers: group, resource and verb of each request, as RBAC names them."""
    used: set[tuple[str, str, str]] = set()
    ask, websocket = Connections.ask, ClusterClient.websocket

    def note(path: str, *asked: str) -> None:
        match = re.fullmatch(r"(/api/v1|/apis/([^/]+)/[^/]+)/namespaces/[^/]+/([^/]+)(/[^/]+(/[^/]+)?)?", path)
        if match is not None:
            used.update((match[2] or "", match[3] + (match[5] or ""), verb) for verb in asked)

    async def recorded_request(self, method, path, query, *others):
        collection = {"GET": "watch" if "watch" in (query or {}) else "list", "POST": "create"}
        of_one = {"GET": "get", "PATCH": "patch", "DELETE": "delete"}
        is_one = re.search(r"/namespaces/[^/]+/[^/]+/.+", path)
        note(path, (of_one if is_one else collection)[method])
        return await ask(self, method, path, query, *others)

    def recorded_websocket(self, path, **options):
        note(path, "get", "create")  # the API server asks for both
        return websocket(self, path, **options)

    monkeypatch.setattr(Connections, "ask", recorded_request)
    monkeypatch.setattr(ClusterClient, "websocket", recorded_websocket)
    return used


@pytest.mark.slow
def test_each_verb_is_used(in_namespace, users, used, tmp_path, monkeypatch):
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind.lower()))
    monkeypatch.setenv("KUBECONFIG", str(users.kubeconfig("host", shipped("Role")["rules"])))
    monkeypatch.setenv("RKP_KUBERNETES_ROUTE", "port-forward")
    monkeypatch.setattr(following, "SLOW", 0.0)  # else nobody asks for events where pods start fast
    host = Host(load_settings(), "server-1")
    kernels = Kernels(KubernetesKernelProvider(host), tmp_path / "data" / "kernels", "", CONFIG)
    command = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    kernels.add_spec("python", command)
    kernels.add_spec("missing", command, config={"image_name": "127.0.0.1:9/acme/python:1", "wait_timeout": 3})
    manager = kernels.start("python")
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    run(manager.logs(5))
    run(manager.signal(signal.SIGINT))
    (found,) = kernels.find()
    run(kernels.lifecycle.recall(found))
    run(kernels.lifecycle.reassign(found, replace(found.owner, instance="server-2")))
    run(kernels.lifecycle.clear(dry_run=True))
    with pytest.raises(LaunchError):
        kernels.start("missing")
    kernels.close()
    run(host.close())
    needs = needed(FOR_KERNELS, FOR_HOSTS)
    of_other_hosts = {("coordination.k8s.io", "leases", verb) for verb in ("get", "patch")}
    assert needs - used <= of_other_hosts
    optional = {("", plural, "list") for plural in ("secrets", "configmaps", "services", "persistentvolumeclaims")}
    assert used - needs <= optional
    assert in_namespace.objects() == []


class HostImage:
    """The image of this module's hosts, built and loaded when the first of them is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_loaded = False

    def load(self, cluster: Cluster) -> None:
        if not self._is_loaded:
            cluster.load(build_host_image(self._folder))
            self._is_loaded = True


@pytest.fixture(scope="module")
def host_image(tmp_path_factory: pytest.TempPathFactory) -> HostImage:
    return HostImage(tmp_path_factory.mktemp("host-image"))


@pytest.fixture
def host(
    cluster: ClusterUnderTest, namespace: Namespace, host_image: HostImage, tmp_path: Path
) -> Iterator[HostInACluster]:
    if cluster.own is None:
        pytest.skip("an image cannot be loaded into the cluster of TEST_KUBECONFIG")
    host_image.load(cluster.own)
    host = HostInACluster(cluster.own, namespace, tmp_path)
    yield host
    host.delete()


def named_rules(message: str) -> list[dict[str, Any]]:
    """The rules that a message asks for, as an operator would take them out of it."""
    (line,) = {line[line.index("rules: [") :] for line in message.splitlines() if "rules: [" in line}
    rules: list[dict[str, Any]] = yaml.safe_load(line[: line.index("]}]") + 3])["rules"]
    return rules


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestAHostInAPod:
    def test_launches_talks_lists_and_deletes(self, host):
        host.apply()
        host.install_kernel()
        assert host.run(*RUN) == "42\n"
        assert host.kernel_pods() == []

        started = json.loads(host.run("jupyter", "remote-kernel", "start", KERNEL, "--json"))
        (pod,) = host.kernel_pods()
        assert pod.spec.service_account_name == "default"
        (listed,) = json.loads(host.run("jupyter", "remote-kernel", "ps", "--json"))
        assert listed["id"] == started["id"]
        assert pod.metadata.uid == listed["backend_id"]
        logs = host.run("jupyter", "remote-kernel", "logs", started["id"])
        assert "To connect another client to this kernel" in logs
        host.run("jupyter", "remote-kernel", "stop", started["id"])
        assert host.kernel_pods() == []
        doctor = host.run("jupyter", "remote-kernel", "doctor")
        assert doctor.endswith("Nothing to fix.\n")
        assert "this host sees no pod to try" in doctor  # itself aside
        assert host.permitted() == needed(FOR_KERNELS, FOR_HOSTS)

    def test_is_refused_what_its_role_lacks_with_the_rule_to_add(self, host, cluster):
        host.kubectl("create", "secret", "generic", HOST, "--from-literal=token=of-the-test")
        host.apply()
        host.install_kernel()
        rules = shipped("Role")["rules"]
        lacking = [
            {**rule, "verbs": [verb for verb in rule["verbs"] if (rule["resources"], verb) != (["secrets"], "create")]}
            for rule in rules
        ]
        host.set_rules(lacking)
        (added,) = named_rules(host.refused(*RUN))
        assert added == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
        until(lambda: host.kernel_pods() == [], 30, "no pod")
        assert named_rules(host.run("sh", "-c", "jupyter remote-kernel doctor || true")) == [added]
        # What it says to add is enough.
        host.set_rules([*lacking, added])
        assert host.run(*RUN) == "42\n"

        self._serves_jupyter_clients(host, cluster)

    def _serves_jupyter_clients(self, host: HostInACluster, cluster: ClusterUnderTest) -> None:
        pods = cluster.api.list_namespaced_pod(host.namespace, label_selector=f"app.kubernetes.io/name={HOST}").items
        (address,) = [pod.status.pod_ip for pod in pods if pod.metadata.deletion_timestamp is None]

        def ask(method: str, path: str, body: object = None) -> Any:
            content = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": "token of-the-test"}
            request = urllib.request.Request(f"http://{address}:8888{path}", content, headers, method=method)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")

        kernel = ask("POST", "/api/kernels", {"name": "k8skp_python"})
        assert [pod.metadata.labels["kernel_id"] for pod in host.kernel_pods()] == [kernel["id"]]
        assert [each["id"] for each in ask("GET", "/api/kernels")] == [kernel["id"]]
        ask("DELETE", f"/api/kernels/{kernel['id']}")
        assert host.kernel_pods() == []

    def test_makes_and_removes_namespaces_and_touches_no_other(self, host, cluster, namespace):
        host.apply("automatic-namespaces")
        host.install_kernel()
        started = json.loads(host.run("jupyter", "remote-kernel", "start", KERNEL, "--json"))
        selector = f"app=remote-kernel-provider,component=namespace,kernel_id={started['id']}"
        (made,) = cluster.api.list_namespace(label_selector=selector).items
        (pod,) = cluster.api.list_namespaced_pod(made.metadata.name).items
        assert pod.metadata.labels["kernel_id"] == started["id"]
        assert host.kernel_pods() == []
        (listed,) = json.loads(host.run("jupyter", "remote-kernel", "ps", "--json"))
        assert listed["id"] == started["id"]

        asked = ("--as", host.account)
        binding = (
            "create",
            "rolebinding",
            "mine",
            f"--clusterrole={HOST}",
            f"--serviceaccount={namespace.name}:{HOST}",
        )
        for words in (
            (*binding, "--namespace", "kube-system"),
            ("delete", "namespace", namespace.name),
            ("create", "namespace", f"{namespace.name}-more"),
        ):
            with pytest.raises(ClusterError, match="makes, fills and removes the namespaces of its kernels alone"):
                host.cluster_kubectl(*words, *asked)
        grant = (
            "create",
            "rolebinding",
            "more",
            "--clusterrole=system:node-proxier",
            f"--serviceaccount={namespace.name}:{HOST}",
        )
        with pytest.raises(ClusterError, match="attempting to grant RBAC permissions"):
            host.cluster_kubectl(*grant, "--namespace", made.metadata.name, *asked)
        for question in (("get", "secrets"), ("create", "pods"), ("patch", "namespaces"), ("list", "nodes")):
            assert not host.may(*question, "--all-namespaces")

        host.run("jupyter", "remote-kernel", "stop", started["id"])
        (made,) = cluster.api.list_namespace(label_selector=selector).items or [None]
        assert made is None or made.metadata.deletion_timestamp is not None

    def test_takes_its_kernels_with_it_where_the_operator_wants_that(self, host):
        host.apply("end-with-workload")
        host.install_kernel()
        host.run("jupyter", "remote-kernel", "start", KERNEL)
        (pod,) = host.kernel_pods()
        (owner,) = pod.metadata.owner_references
        assert (owner.kind, owner.name, owner.controller) == ("Deployment", HOST, None)
        host.kubectl("delete", "deployment", HOST, "--wait=false")
        until(lambda: host.kernel_pods() == [], 60, "the end of the kernel's pod")
