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

    def kubeconfig(self, name: str, rules: list[dict[str, object]]) -> Path:
        """Return the kubeconfig of a service account that a Role gives some rights."""
        self._api.create_namespaced_service_account(self._namespace, {"metadata": {"name": name}})
        self._rbac.create_namespaced_role(self._namespace, {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self._namespace}],
        }
        self._rbac.create_namespaced_role_binding(self._namespace, binding)
        request = {"spec": {"expirationSeconds": 3600}}
        token = self._api.create_namespaced_service_account_token(name, self._namespace, request).status.token
        document = self._document | {"users": [{"name": name, "user": {"token": token}}]}
        context = {**self._document["contexts"][0]["context"], "user": name, "namespace": self._namespace}
        document["contexts"] = [{"name": name, "context": context}]
        document["current-context"] = name
        file = self._folder / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        return file
