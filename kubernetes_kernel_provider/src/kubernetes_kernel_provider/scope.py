"""`Scope`: the objects that this host may see, of the whole cluster or of the namespaces that it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from kubernetes_kernel_provider.client.api import JSON, METADATA, ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.known_namespaces import KnownNamespaces
from kubernetes_kernel_provider.names import is_dns_label

CORE = "/api/v1"


@dataclass(frozen=True)
class Kind:
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


PODS = Kind("pods")


class Scope:
    """Lists objects, in as many namespaces as the permissions allow.

    Parameters
    ----------
    client
        Of the cluster.
    home
        Gives the namespace in which kernels run by default.
    named
        Names and patterns of the namespaces that clients may name. Patterns say nothing of where to look.
    known
        The namespaces in which hosts of this user have had kernels.
    """

    def __init__(
        self, client: ClusterClient, home: Callable[[], Awaitable[str]], named: Iterable[str], known: KnownNamespaces
    ) -> None:
        self._client = client
        self._home = home
        self._named = [name for name in named if is_dns_label(name)]
        self._known = known
        self._unseen: dict[str, ClusterError] = {}

    async def add(self, namespace: str) -> None:
        """Note a namespace in which a kernel is about to be made."""
        if namespace != await self._home():
            await self._known.note(await self._server(), namespace)

    async def _server(self) -> str:
        return str((await self._client.configuration()).client.host)

    def unseen(self) -> list[str]:
        """Say in which namespaces kernels could not be looked for, the last time."""
        return [
            f"kernels in the namespace '{namespace}' are not seen: {error}"
            for namespace, error in sorted(self._unseen.items())
        ]

    async def visible(self, kind: Kind, selector: str) -> list[Document]:
        """List the objects of a kind that a label selector chooses.

        Raises
        ------
        ClusterError
            When this host may not list them in its own namespaces either.
        """
        everywhere = await self.everywhere(kind, selector)
        return await self.nearby(kind, selector) if everywhere is None else everywhere

    async def everywhere(self, kind: Kind, selector: str) -> list[Document] | None:
        """List the objects of the whole cluster; None where this host may not."""
        try:
            items = await self._items(f"{kind.root}/{kind.plural}", kind, selector)
        except ClusterError as error:
            if error.is_refusal:
                return None
            raise
        if kind == PODS:
            self._unseen = {}
        return items

    async def nearby(self, kind: Kind, selector: str) -> list[Document]:
        """List the objects of the namespaces that this host knows, but for those where it may not."""
        home, remembered = await self._home(), await self._known.names(await self._server())
        namespaces = sorted({home, *self._named, *remembered})
        answers = await asyncio.gather(*(self._of(namespace, kind, selector) for namespace in namespaces))
        seen: dict[str, list[Document]] = {}
        refused: dict[str, ClusterError] = {}
        for namespace, answer in zip(namespaces, answers, strict=True):
            if isinstance(answer, ClusterError):
                refused[namespace] = answer
            else:
                seen[namespace] = answer
        if not seen:
            raise refused[home]
        if kind == PODS:
            self._unseen = refused
            await asyncio.gather(*(self.add(namespace) for namespace, items in seen.items() if items))
        return [item for items in seen.values() for item in items]

    async def _of(self, namespace: str, kind: Kind, selector: str) -> list[Document] | ClusterError:
        """List the objects of a namespace; return the cluster's words where this host may not."""
        try:
            return await self.within(namespace, kind, selector)
        except ClusterError as error:
            if error.is_refusal:
                return error
            raise

    async def within(self, namespace: str, kind: Kind, selector: str) -> list[Document]:
        """List the objects of one namespace.

        Raises
        ------
        ClusterError
            When this host may not.
        """
        return await self._items(f"{kind.root}/namespaces/{namespace}/{kind.plural}", kind, selector)

    async def _items(self, path: str, kind: Kind, selector: str) -> list[Document]:
        accept = METADATA if kind.metadata_only else JSON
        answer = await self._client.request("GET", path, query={"labelSelector": selector}, accept=accept)
        return answer.get("items") or []  # null where there are none and metadata alone is asked for
