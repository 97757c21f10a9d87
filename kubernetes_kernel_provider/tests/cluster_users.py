"""People and programs of a cluster who may do little in it."""

from pathlib import Path

import yaml
from cluster.fixtures import ClusterUnderTest, Namespace
from kubernetes import client as official

KERNELS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list", "patch", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete", "get"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
]


def without(resource: str, verb: str) -> list[dict[str, object]]:
    """The rules that kernels need, without one verb."""
    return [
        {**rule, "verbs": [each for each in rule["verbs"] if (rule["resources"], each) != ([resource], verb)]}
        for rule in KERNELS
    ]


class Users:
    """Somebody of the cluster with the rights that a test gives him."""

    def __init__(self, cluster: ClusterUnderTest, namespace: Namespace, folder: Path) -> None:
        self._namespace = namespace.name
        self._rbac = official.RbacAuthorizationV1Api(cluster.api.api_client)
        self._api = cluster.api
        self._folder = folder
        self._document = yaml.safe_load(cluster.kubeconfig.read_text())
        self._cluster_roles: list[str] = []

    def kubeconfig(
        self, name: str, rules: list[dict[str, object]], everywhere: list[dict[str, object]] | None = None
    ) -> Path:
        """Return the kubeconfig of a service account that a Role, and a ClusterRole, give some rights."""
        self._api.create_namespaced_service_account(self._namespace, {"metadata": {"name": name}})
        self._rbac.create_namespaced_role(self._namespace, {"metadata": {"name": name}, "rules": rules})
        self._rbac.create_namespaced_role_binding(self._namespace, self._binding(name, "Role", name))
        if everywhere:
            role = f"{self._namespace}-{name}"
            self._rbac.create_cluster_role({"metadata": {"name": role}, "rules": everywhere})
            self._rbac.create_cluster_role_binding(self._binding(name, "ClusterRole", role))
            self._cluster_roles.append(role)
        request = {"spec": {"expirationSeconds": 3600}}
        token = self._api.create_namespaced_service_account_token(name, self._namespace, request).status.token
        document = self._document | {"users": [{"name": name, "user": {"token": token}}]}
        context = {**self._document["contexts"][0]["context"], "user": name, "namespace": self._namespace}
        document["contexts"] = [{"name": name, "context": context}]
        document["current-context"] = name
        file = self._folder / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        return file

    def allow_in(self, namespace: str, account: str, rules: list[dict[str, object]]) -> None:
        """Give an account a Role in another namespace, too."""
        self._rbac.create_namespaced_role(namespace, {"metadata": {"name": account}, "rules": rules})
        self._rbac.create_namespaced_role_binding(namespace, self._binding(account, "Role", account))

    def forbid_in(self, namespace: str, account: str) -> None:
        """Take that back."""
        self._rbac.delete_namespaced_role_binding(account, namespace)

    def _binding(self, account: str, kind: str, role: str) -> dict[str, object]:
        return {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self._namespace}],
        }

    def remove(self) -> None:
        """Take back what was given in the whole cluster; the rest goes with the namespace."""
        for role in self._cluster_roles:
            self._rbac.delete_cluster_role_binding(role)
            self._rbac.delete_cluster_role(role)
