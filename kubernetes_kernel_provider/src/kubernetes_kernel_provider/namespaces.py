"""Where kernels run: in a namespace that is there, or in one made for a single kernel and removed with it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes_kernel_provider.client.api import ClusterClient, Document, Query
from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.collections import NAMESPACES, namespaced
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.manifests import HostAccount, Placement, make_namespace, owner_labels, resource_of
from kubernetes_kernel_provider.manifests.labels import NAMESPACE
from kubernetes_kernel_provider.names import is_own_namespace
from kubernetes_kernel_provider.overdue import Overdue
from kubernetes_kernel_provider.permissions import FOR_KERNELS, FOR_NAMESPACES, Need, Permissions
from kubernetes_kernel_provider.templates import RenderedObject
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.owner import OwnerSelector

SETTLING = 15.0
"""Seconds in which the cluster's controllers make a new namespace ready for pods."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two questions whether they have; each pause doubles."""

_UNSETTLED = re.compile(r"status unknown for quota|error looking up service account|cannot create resource \"pods\"")
"""What the cluster says until quotas are counted, the account is there, and the role binding is known everywhere."""

_NEEDED = [need for need in FOR_KERNELS if need.needed]


def makes_namespaces(settings: RemoteKernelSettings) -> bool:
    """Whether each kernel has a namespace to itself, unless its spec names one."""
    return not settings.shared_namespace and not settings.allowed_namespaces


class Namespaces:
    """Creates, finds and removes the namespaces of single kernels, and leaves all others alone.

    Parameters
    ----------
    client, creator, permissions
        Of the cluster.
    overdue
        Takes what cannot be removed while the cluster is away.
    settings
        The operator's.
    """

    def __init__(
        self,
        client: ClusterClient,
        creator: Creator,
        permissions: Permissions,
        overdue: Overdue,
        settings: RemoteKernelSettings,
    ) -> None:
        self._client = client
        self._creator = creator
        self._permissions = permissions
        self._overdue = overdue
        self._settings = settings
        self._is_checked = False

    @asynccontextmanager
    async def prepared(
        self, request: KernelRequest, placement: Placement, host: HostAccount, pod: RenderedObject
    ) -> AsyncIterator[None]:
        """Have a launch's namespace ready for its pod; one that was made for it goes when what follows fails.

        Asks nothing where all kernels share a namespace: there, the cluster's own answers will do.

        Parameters
        ----------
        request, placement, host
            The launch, where it goes and who launches.
        pod
            Of the kernel.

        Raises
        ------
        ClusterError
            When the cluster refuses it; holds the rules to add where a permission is missing.
        """
        if placement.automatic:
            async with self._created(request, placement, host, pod):
                yield
            return
        if not self._settings.shared_namespace:
            await self._permissions.require(placement.namespace, _NEEDED)
        yield

    @asynccontextmanager
    async def _created(
        self, request: KernelRequest, placement: Placement, host: HostAccount, pod: RenderedObject
    ) -> AsyncIterator[None]:
        await self._permissions.require("", FOR_NAMESPACES)
        manifests = await asyncio.to_thread(make_namespace, request, placement, self._settings, host)
        if not self._is_checked:  # the template makes each namespace of the same kinds, and gives the same rights in it
            rights = await asyncio.gather(*(self._creator.right(other) for other in manifests.others))
            needs = [Need(right, "what a kernel's namespace is made of") for right in dict.fromkeys(rights)]
            await self._permissions.require(manifests.name, needs)
        try:
            await self._creator.create_rendered(manifests.namespace)
            await asyncio.gather(*(self._creator.create_rendered(other) for other in manifests.others))
            await self._settle(pod)
            if not self._is_checked:
                await self._permissions.require(manifests.name, _NEEDED)
                self._is_checked = True
            yield
        except BaseException:  # nothing is left behind, however it ends
            await self._remove_at_last(manifests.name, request.parameters.kernel_id, request.generation)
            raise

    async def _remove_at_last(self, name: str, kernel_id: str, generation: str) -> None:
        try:
            await self._remove(name, kernel_id, generation)
        except ClusterError as error:
            if not error.is_passing:
                raise
            self._overdue.add(f"{NAMESPACES}/{name}", lambda: self._remove(name, kernel_id, generation))

    async def _settle(self, pod: RenderedObject) -> None:
        """Return when the namespace takes the pod."""
        deadline, backoff = time.monotonic() + SETTLING, Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                await self._creator.create_rendered(pod, dry_run=True)
                return
            except ClusterError as error:
                if not _UNSETTLED.search(str(error)) or time.monotonic() > deadline:
                    raise
            await backoff.pause()  # no event tells what the admission knows

    async def has_ended(self, resource: KernelResource) -> bool:
        """Whether a kernel had a namespace to itself, which is gone or about to be."""
        if not _is_own(resource):
            return False
        found = await self._read(str(resource.data["namespace"]))
        return found is None or "deletionTimestamp" in found["metadata"]

    async def remove(self, resource: KernelResource) -> None:
        """Delete the namespace that a kernel has to itself; does nothing where it has none, and waits for nothing."""
        if _is_own(resource):
            await self._remove(str(resource.data["namespace"]), resource.kernel_id, resource.generation)

    async def belonging(self, resource: KernelResource) -> list[Leftover]:
        """Name the namespace that `remove` would delete."""
        if not _is_own(resource):
            return []
        name = str(resource.data["namespace"])
        found = await self._read(name)
        is_ours = found is not None and _is_made_for(found, resource.kernel_id, resource.generation)
        return [Leftover("namespace", name)] if is_ours else []

    async def _remove(self, name: str, kernel_id: str, generation: str) -> None:
        found = await self._read(name)
        if found is None or not _is_made_for(found, kernel_id, generation):
            return
        # Between this and the deletion, somebody else's could take its place: hence the uid.
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": found["metadata"]["uid"]}}
        try:
            await self._client.request("DELETE", f"{NAMESPACES}/{name}", body=options)
        except ClusterError as error:
            if error.code not in (404, 409):  # gone, or another's by now
                raise

    async def _read(self, name: str) -> Document | None:
        try:
            return await self._client.request("GET", f"{NAMESPACES}/{name}")
        except ClusterError as error:
            if error.is_missing:
                return None
            raise

    async def pods(self, selector: OwnerSelector, query: Query) -> list[Document]:
        """List the pods in the namespaces that kernels of some owners have to themselves: an answer for each."""
        if self._settings.shared_namespace:
            return []
        names = [str(found["metadata"]["name"]) for found in await self._list(selector)]
        answers = await asyncio.gather(*(self._pods(name, query) for name in names))
        return [answer for answer in answers if answer is not None]

    async def _pods(self, namespace: str, query: Query) -> Document | None:
        try:
            return await self._client.request("GET", namespaced("pods", namespace), query=query)
        except ClusterError as error:
            if error.is_refusal:  # our rights in it go with it, and come with what is made in it
                return None
            raise

    async def kernels(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the kernels that have a namespace to themselves, by their namespaces: their pods may be gone.

        For the sweep: a host that died between a namespace and its pod left no pod to be found by. It may have had
        other settings than this one.
        """
        found = [_kernel_of(namespace) for namespace in await self._list(selector)]
        return [resource for resource in found if resource is not None and selector.matches(resource.owner)]

    async def _list(self, selector: OwnerSelector) -> list[Document]:
        labels = {"app": "remote-kernel-provider", "component": NAMESPACE, **owner_labels(selector)}
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}
        try:
            listed = await self._client.request("GET", NAMESPACES, query=query)
        except ClusterError as error:
            if error.is_refusal:
                return []  # who may not list namespaces has created none
            raise
        return [found for found in listed["items"] if "deletionTimestamp" not in found["metadata"]]


def _is_own(resource: KernelResource) -> bool:
    return is_own_namespace(str(resource.data["namespace"]), resource.kernel_id, resource.generation)


def _is_made_for(namespace: Document, kernel_id: str, generation: str) -> bool:
    """Whether we made a namespace for this launch."""
    kernel = _kernel_of(namespace)
    return kernel is not None and (kernel.kernel_id, kernel.generation) == (kernel_id, generation)


def _kernel_of(namespace: Document) -> KernelResource | None:
    """Return the handle of the kernel that a namespace was made for; None for a namespace that is not ours."""
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    if (labels.get("app"), labels.get("component")) != ("remote-kernel-provider", NAMESPACE):
        return None
    return resource_of({"metadata": {**metadata, "namespace": metadata["name"]}})
