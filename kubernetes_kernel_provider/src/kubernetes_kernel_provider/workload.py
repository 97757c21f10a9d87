"""The Deployment or StatefulSet that this host's own pod belongs to, as the owner of its kernels' pods."""

from __future__ import annotations

import os
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.manifests import HostAccount
from remote_kernel_provider.errors import ConfigurationError

POD_NAME = "POD_NAME"
"""Environment name of this host's pod, from the downward API: `metadata.name`."""

POD_UID = "POD_UID"
"""Environment name of its uid, from the downward API: `metadata.uid`."""


class HostWorkload:
    """Looks the workload up once.

    Parameters
    ----------
    client
        Of the cluster.
    is_wanted
        Whether kernels' pods are to end with it.
    """

    def __init__(self, client: ClusterClient, is_wanted: bool) -> None:
        self._client = client
        self._is_wanted = is_wanted
        self._found: dict[str, Any] | None = None

    async def owners(self, namespace: str, host: HostAccount) -> list[dict[str, Any]]:
        """Return the owner references of a kernel's pod.

        Parameters
        ----------
        namespace
            Of the pod. A cluster removes what is owned from another namespace: there, none is given.
        host
            Who launches.

        Raises
        ------
        ConfigurationError
            When it is wanted, and this host belongs to no workload.
        """
        if not self._is_wanted:
            return []
        if not host.service_account or not os.environ.get(POD_NAME):
            raise ConfigurationError(
                f"end_with_workload needs a host in a pod that knows its name; set {POD_NAME} and {POD_UID} by the "
                "downward API, or leave end_with_workload out"
            )
        if self._found is None:
            self._found = await self._look_up(host.namespace, os.environ[POD_NAME])
        return [self._found] if namespace == host.namespace else []

    async def _look_up(self, namespace: str, name: str) -> dict[str, Any]:
        pod = await self._client.request("GET", namespaced("pods", namespace, name))
        if os.environ.get(POD_UID, pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            raise ConfigurationError(f"{POD_NAME} and {POD_UID} are of different pods; set both by the downward API")
        owner = _controller(pod)
        if owner is not None and owner["kind"] == "ReplicaSet":  # of a Deployment there is a new one with each change
            path = f"/apis/{owner['apiVersion']}/namespaces/{namespace}/replicasets/{owner['name']}"
            owner = _controller(await self._client.request("GET", path)) or owner
        if owner is None:
            raise ConfigurationError(
                f"end_with_workload: this host's pod '{name}' belongs to no workload; run it by a Deployment or a "
                "StatefulSet, or leave end_with_workload out"
            )
        return {part: owner[part] for part in ("apiVersion", "kind", "name", "uid")}


def _controller(document: Document) -> Document | None:
    references: list[Document] = document["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)
