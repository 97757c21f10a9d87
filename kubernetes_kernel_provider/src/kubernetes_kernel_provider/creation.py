"""Creating objects in a cluster, and saying at which line of its template one was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.collections import Collections
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.rules import Rule
from kubernetes_kernel_provider.templates import RenderedObject, located

_OF_THE_OBJECT = (400, 422)
"""Codes by which a cluster finds fault with an object, and not with who creates it or when."""


class Creator:
    """Creates objects of any kind.

    Parameters
    ----------
    client
        Of the cluster.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._collections = Collections(client)

    async def create(self, document: Mapping[str, Any], *, dry_run: bool = False) -> Document:
        """Create an object.

        Parameters
        ----------
        document
            The object.
        dry_run
            Whether the cluster is to try it only.

        Returns
        -------
        dict
            The object as the cluster has it.

        Raises
        ------
        ClusterError
            When the cluster refuses it.
        """
        path = await self._collections.of(document)
        # Strict: a misspelt field is an error, and not left out in silence.
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return await self._client.request("POST", path, query=query, body=document)

    async def create_rendered(self, rendered: RenderedObject, *, dry_run: bool = False) -> Document:
        """Create an object of a template, as `create` does; an error that is the object's own names file and line."""
        with _located(rendered):
            return await self.create(rendered.document, dry_run=dry_run)

    async def right(self, rendered: RenderedObject) -> Rule:
        """Return the rule that permits to create an object of a template; a kind that there is not is an error, too."""
        group, _, _ = str(rendered.document.get("apiVersion")).rpartition("/")
        with _located(rendered):
            collection = await self._collections.of(rendered.document)
        return Rule(collection.rpartition("/")[2], ("create",), group)


@contextmanager
def _located(rendered: RenderedObject) -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        if error.code not in _OF_THE_OBJECT:
            raise
        raise ClusterError(located(rendered, str(error)), error.code, error.reason, error.causes) from None
