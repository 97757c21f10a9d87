"""`Remains`: what dead hosts left beside their kernels' pods, which takes all of it along as a rule."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.deaths import Deaths
from kubernetes_kernel_provider.leases import leases_path
from kubernetes_kernel_provider.manifests.labels import (
    APP,
    GENERATION_LABEL,
    HOST_ANNOTATION,
    handle_of,
    kernels_selector,
)
from kubernetes_kernel_provider.names import label_value
from kubernetes_kernel_provider.paths import namespace_of
from kubernetes_kernel_provider.scope import CORE, PODS, Kind, Scope
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import DEAD, DETACHED, HostState, Owner, OwnerSelector

log = logging.getLogger(__name__)

KINDS = ("secrets", "configmaps", "services", "persistentvolumeclaims")
"""Kinds of which a pod may own objects. They lose their owner where somebody deletes the pod and orphans them."""

LEASES = Kind("leases", "/apis/coordination.k8s.io/v1")


Find = Callable[[OwnerSelector], Awaitable[list[KernelResource]]]


@dataclass(frozen=True)
class Remnant:
    """An object that belongs to no kernel any more.

    Parameters
    ----------
    leftover
        What it is.
    path
        In the API.
    preconditions
        What must still be true when it is deleted.
    """

    leftover: Leftover
    path: str
    preconditions: Mapping[str, str]


class Remains:
    """Finds and removes what belongs to no kernel and to no living host.

    Parameters
    ----------
    client
        Of the cluster.
    scope
        What this host may see.
    deaths
        Who lives.
    find
        Lists the kernels of some owners.
    """

    def __init__(self, client: ClusterClient, scope: Scope, deaths: Deaths, find: Find) -> None:
        self._client = client
        self._scope = scope
        self._deaths = deaths
        self._find = find

    async def expired_owners(self) -> list[OwnerSelector]:
        """Return the hosts whose leases have run out, so that nobody of their machines may come for their kernels."""
        found = []
        for lease in await self._leases():
            owner = _owner_of(lease)
            if owner is not None and (await self._deaths.by_lease(lease)).word == DEAD:
                found.append(OwnerSelector(host_id=owner.host_id, instance=owner.instance))
        return found

    async def clear(self, *, dry_run: bool, swept: Collection[str]) -> list[Leftover]:
        """Remove what is left, or only name it; what this host may not see or remove stays.

        Parameters
        ----------
        dry_run
            Whether it is only named.
        swept
            Generations of kernels that count as gone.
        """
        remnants = [*await self._objects(), *await self._dead_leases(swept)]
        return [remnant.leftover for remnant in remnants if dry_run or await self._remove(remnant)]

    async def of_kernel(self, resource: KernelResource) -> list[Leftover]:
        """Name the objects that a kernel's pod owns, of the kinds that this host may list."""
        namespace, selector = namespace_of(resource), f"{GENERATION_LABEL}={label_value(resource.generation)}"
        return [
            Leftover(_kind(plural), f"{namespace}/{item['metadata']['name']}")
            for plural in KINDS
            for item in await self._list_in(namespace, plural, selector)
        ]

    async def _list_in(self, namespace: str, plural: str, selector: str) -> list[Document]:
        try:
            return await self._scope.within(namespace, Kind(plural, metadata_only=True), selector)
        except ClusterError as error:
            if error.is_refusal:
                return []
            raise

    async def _remove(self, remnant: Remnant) -> bool:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": dict(remnant.preconditions)}
        try:
            await self._client.request("DELETE", remnant.path, body=options)
        except ClusterError as error:
            if error.code not in (404, 409):  # gone, or no longer what it was
                left = remnant.leftover
                log.warning("The %s %s, left by a dead host, could not be removed: %s", left.kind, left.name, error)
            return False
        return True

    async def _list(self, kind: Kind, selector: str) -> list[Document]:
        try:
            return await self._scope.visible(kind, selector)
        except ClusterError as error:
            if error.is_refusal:  # then whatever it is goes with its pod, or stays
                return []
            raise

    async def _objects(self) -> list[Remnant]:
        """Find objects whose pod is gone."""
        found = [
            (plural, item)
            for plural in KINDS
            for item in await self._list(Kind(plural, metadata_only=True), kernels_selector())
        ]
        lonely = await self._without_pods(item for _, item in found)
        return [
            _remnant(plural, path, metadata)
            for plural, item in found
            if _generation(item) in lonely
            for metadata in [item["metadata"]]
            for path in [f"{CORE}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"]
        ]

    async def _without_pods(self, items: Iterable[Document]) -> set[str]:
        """Return the generations of those launches of dead hosts that have no pod."""
        made = {_generation(item): (item["metadata"]["namespace"], handle_of(item)) for item in items}
        # Asked after the items were listed, as pods are created before what belongs to them.
        return {
            generation
            for generation, (namespace, handle) in made.items()
            if handle is not None
            and (await self._state(handle)).word in (DEAD, DETACHED)
            and not await self._has_pod(namespace, generation)
        }

    async def _has_pod(self, namespace: str, generation: str) -> bool:
        """Whether a launch has a pod, or may have one: this host may not look."""
        try:
            return bool(await self._scope.within(namespace, PODS, f"{GENERATION_LABEL}={generation}"))
        except ClusterError as error:
            if error.is_refusal:
                return True
            raise

    async def _state(self, handle: KernelResource) -> HostState:
        return await self._deaths.state(handle.owner, handle.data)

    async def _leases(self) -> list[Document]:
        return await self._list(LEASES, f"app={APP},component=host")

    async def _dead_leases(self, swept: Collection[str]) -> list[Remnant]:
        """Find leases of dead hosts that have no kernels left."""
        found = []
        for lease in await self._leases():
            owner, metadata = _owner_of(lease), lease["metadata"]
            if owner is None or await self._has_kernels(owner, swept):
                continue
            written = {"locks": lease["spec"].get("holderIdentity"), "lease_namespace": metadata["namespace"]}
            if (await self._deaths.state(owner, written)).word == DEAD:
                name, path = metadata["name"], f"{leases_path(metadata['namespace'])}/{metadata['name']}"
                version = {"resourceVersion": metadata["resourceVersion"]}  # it may come back and renew it
                left = Leftover("lease", f"{metadata['namespace']}/{name}", "its host is dead and has no kernels")
                found.append(Remnant(left, path, version))
        return found

    async def _has_kernels(self, owner: Owner, swept: Collection[str]) -> bool:
        found = await self._find(OwnerSelector(host_id=owner.host_id, instance=owner.instance))
        return any(resource.generation not in swept for resource in found)


def _remnant(plural: str, path: str, metadata: Mapping[str, Any]) -> Remnant:
    name = f"{metadata['namespace']}/{metadata['name']}"
    left = Leftover(_kind(plural), name, "the pod of its kernel is gone, and its host is dead")
    return Remnant(left, path, {"uid": metadata["uid"]})


def _kind(plural: str) -> str:
    return plural.removesuffix("s")


def _generation(item: Document) -> str:
    return str((item["metadata"].get("labels") or {}).get(GENERATION_LABEL, ""))


def _owner_of(lease: Document) -> Owner | None:
    try:
        written = json.loads(lease["metadata"]["annotations"][HOST_ANNOTATION])
        return Owner("", str(written["host_id"]), str(written["instance"]))
    except (KeyError, TypeError, ValueError):
        return None  # none of ours
