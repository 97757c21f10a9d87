"""`KernelCreator`: a kernel's pod, then all else as its property, so that the cluster removes it with the pod."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.dry_run import DryRuns
from kubernetes_kernel_provider.manifests import KernelManifests, resource_of
from kubernetes_kernel_provider.memory import SecretMemory
from kubernetes_kernel_provider.overdue import Overdue
from kubernetes_kernel_provider.removal import Removal
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource


class KernelCreator:
    """Creates the objects of launches, and leaves none of those that fail.

    Parameters
    ----------
    creator, memory, removal
        Of the cluster.
    overdue
        Takes what cannot be removed while the cluster is away.
    undo
        Removes a kernel.
    """

    def __init__(
        self,
        creator: Creator,
        memory: SecretMemory,
        removal: Removal,
        overdue: Overdue,
        undo: Callable[[KernelResource], Awaitable[None]],
    ) -> None:
        self._creator = creator
        self._dry_runs = DryRuns(creator)
        self._memory = memory
        self._removal = removal
        self._overdue = overdue
        self._undo = undo

    async def create(self, request: KernelRequest, manifests: KernelManifests) -> KernelResource:
        """Create the objects of one launch.

        Raises
        ------
        ClusterError
            What the cluster says of the first object that it refuses.
        """
        await self._dry_runs.check(manifests)
        try:
            pod = await self._creator.create_rendered(manifests.pod)
        except ClusterError as error:
            if not 400 <= error.code < 500:  # it may have been created all the same
                path = namespaced("pods", manifests.namespace, manifests.name)
                self._overdue.add(path, lambda: self._removal.of_object(path))
            raise
        resource = resource_of(pod)
        assert resource is not None  # we wrote it
        others: list[Awaitable[object]] = [
            self._creator.create_rendered(found) for found in manifests.owned(resource.id)
        ]
        if request.memory is not None:
            others.insert(0, self._memory.keep(resource, pod, request.memory))
        try:
            await asyncio.gather(*others)
        except BaseException:  # a cancellation included: nothing is left behind, however it ends
            await self._undo(resource)
            raise
        return resource
