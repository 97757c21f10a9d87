"""The shipped roles: the smallest permissions, each of them used, and refusals that name the missing one."""

import re
import signal
from dataclasses import replace

import pytest
import yaml
from cluster.fixtures import IMAGE, LIGHT
from shipped_manifests import DEPLOY, HOST, needed, shipped, verbs

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
from remote_kernel_provider.testing.waiting import run

CONFIG = {"image_name": IMAGE, "launch_timeout": 120}
OWN = own_namespace("ada", "3f2b9c1e-0b7a-4a57-9b58-4f2d1c9a7e60", "0123456789ab")


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
    command = LIGHT
    kernels.add_spec("light", command)
    kernels.add_spec("missing", command, config={"image_name": "127.0.0.1:9/acme/python:1", "wait_timeout": 3})
    manager = kernels.start("light")
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
