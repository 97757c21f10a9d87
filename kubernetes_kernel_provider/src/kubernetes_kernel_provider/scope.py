"""`Scope`: the objects that this host may see, of the whole cluster or of the namespaces that it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kubernetes_kernel_provider.client.api import JSON, METADATA, ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError

CORE = "/api/v1"


@dataclass(frozen=True)
class Collection:
    """Objects of one kind.

    Parameters
    ----------
    plural, root
        Of the kind, and of its group in the API.
    metadata_only
        Whether what they hold stays in the cluster.
    """

    plural: str
    root: str = CORE
    metadata_only: bool = False


PODS = Collection("pods")


class Scope:
    """Lists objects, in as many namespaces as the permissions allow.

    Parameters
    ----------
    client
        Of the cluster.
    namespace
        Gives the namespace in which kernels run by default.
    """

    def __init__(self, client: ClusterClient, namespace: Callable[[], Awaitable[str]]) -> None:
        self._client = client
        self._namespace = namespace
        self._known: set[str] = set()

    def add(self, namespace: str) -> None:
        """Note a namespace that holds kernels of ours."""
        self._known.add(namespace)

    async def visible(self, collection: Collection, selector: str) -> list[Document]:
        """List the objects of a collection that a label selector chooses.

        Raises
        ------
        ClusterError
            When this host may not list them in its own namespaces either.
        """
        everywhere = await self.everywhere(collection, selector)
        return await self.nearby(collection, selector) if everywhere is None else everywhere

    async def everywhere(self, collection: Collection, selector: str) -> list[Document] | None:
        """List the objects of the whole cluster; None where this host may not."""
        try:
            return await self._items(f"{collection.root}/{collection.plural}", collection, selector)
        except ClusterError as error:
            if error.is_refusal:
                return None
            raise

    async def nearby(self, collection: Collection, selector: str) -> list[Document]:
        """List the objects of the namespaces that this host knows."""
        namespaces = sorted({*self._known, await self._namespace()})
        paths = [f"{collection.root}/namespaces/{namespace}/{collection.plural}" for namespace in namespaces]
        lists = await asyncio.gather(*(self._items(path, collection, selector) for path in paths))
        return [item for each in lists for item in each]

    async def _items(self, path: str, collection: Collection, selector: str) -> list[Document]:
        accept = METADATA if collection.metadata_only else JSON
        answer = await self._client.request("GET", path, query={"labelSelector": selector}, accept=accept)
        return answer.get("items") or []  # null where there are none and metadata alone is asked for
