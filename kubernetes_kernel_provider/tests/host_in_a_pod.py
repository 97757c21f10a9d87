"""A host in a pod: the shipped manifests, applied in a test's namespace."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cluster.errors import ClusterError
from cluster.fixtures import IMAGE, Namespace
from cluster.running import Cluster
from host_image import HOST_IMAGE
from shipped_manifests import DEPLOY, HOST, verbs

KERNEL_PODS = "app=remote-kernel-provider,component=kernel"


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
