"""Where in the API the objects of a kind are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError

_ALWAYS = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets"}
"""What every launch creates: nobody has to be asked."""

NAMESPACES = "/api/v1/namespaces"


def namespaced(plural: str, namespace: str, name: str = "") -> str:
    """Return the path of a collection of the core API in a namespace, or of one object in it."""
    return f"{NAMESPACES}/{namespace}/{plural}" + (f"/{name}" if name else "")


class Collections:
    """Finds the collection that an object belongs to, of custom resources too; asks the cluster once per group.

    Parameters
    ----------
    client
        Of the cluster.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._plurals: dict[tuple[str, str], str] = dict(_ALWAYS)

    async def of(self, document: Mapping[str, Any]) -> str:
        """Return the path of the collection in which an object is created.

        Raises
        ------
        ClusterError
            When the cluster knows no such kind, or it is not one of a namespace.
        """
        version, kind = str(document.get("apiVersion")), str(document.get("kind"))
        if (version, kind) == ("v1", "Namespace"):
            return NAMESPACES
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if (version, kind) not in self._plurals:
            for found in await self._resources(root):
                if found.get("namespaced") and "/" not in found["name"]:
                    self._plurals[version, str(found["kind"])] = str(found["name"])
        if (version, kind) not in self._plurals:
            raise ClusterError(f"the cluster has no objects of the kind {kind} ({version}) in namespaces", 400)
        return f"{root}/namespaces/{document['metadata']['namespace']}/{self._plurals[version, kind]}"

    async def _resources(self, root: str) -> Sequence[Mapping[str, Any]]:
        try:
            return (await self._client.request("GET", root)).get("resources") or ()
        except ClusterUnreachableError as error:
            if error.status == 404:  # no such group, or no such version of it: the API server says so in plain words
                return ()
            raise
