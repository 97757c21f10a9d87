"""A host in a pod, with the manifests that operators get: it does all that it should, and is refused the rest."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.errors import ClusterError
from cluster.fixtures import ClusterUnderTest, Namespace
from cluster.running import Cluster
from host_image import build_host_image
from host_in_a_pod import HostInACluster
from shipped_manifests import HOST, needed, shipped

from kubernetes_kernel_provider.permissions import FOR_HOSTS, FOR_KERNELS
from remote_kernel_provider.testing.waiting import until

KERNEL = "k8skp/k8skp_python"
RUN = ("jupyter", "remote-kernel", "run", "--kernel", KERNEL, "-c", "print(6 * 7)")


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
