"""`Removal`: deleting a kernel's pod and Secret, seeing that they go, and saying what keeps a pod that stays."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import Changes
from kubernetes_kernel_provider.statuses import has_stopped
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.private_loop import within

FINALIZING = 10.0
"""Seconds that whoever set a finalizer gets to take it away from a pod that has ended."""

STUCK = 30.0
"""Seconds beyond its grace after which the deletion of a pod counts as stuck: its node does not answer."""

RETRY = 1.0
"""Seconds between two questions about a pod that may not be watched."""


class Removal:
    """Removes objects of kernels.

    Parameters
    ----------
    client
        Of the cluster.
    pod
        Asks for a kernel's pod; None = it is gone.
    """

    def __init__(self, client: ClusterClient, pod: Callable[[KernelResource], Awaitable[Document | None]]) -> None:
        self._client = client
        self._pod = pod

    async def of_kernel(self, resource: KernelResource, pod: str, secret: str, grace: float, changes: Changes) -> None:
        """Delete a kernel's pod and Secret, and return when the pod is gone.

        Parameters
        ----------
        resource
            The kernel.
        pod, secret
            Their paths in the API.
        grace
            Seconds that the kernel's process gets.
        changes
            Tells of the pod.

        Raises
        ------
        ClusterError
            Says what keeps the pod.
        """
        seconds = max(1, math.ceil(grace))  # 0 would remove the pod from the API, and not its processes
        deleted, _ = await asyncio.gather(self._delete(pod, resource.id, seconds), self._of_secret(secret))
        if not deleted or await self._is_gone(resource, changes, seconds + FINALIZING):
            return
        check_finalizers(await self._pod(resource))
        if await self._is_gone(resource, changes, STUCK):
            return
        await self._delete(pod, resource.id, 0)
        if not await self._is_gone(resource, changes, STUCK):
            check_finalizers(await self._pod(resource))
            name = f"{resource.data['namespace']}/{resource.data['pod']}"
            raise ClusterError(f"pod {name} is not removed by the cluster; see why: kubectl describe pod, and its node")

    async def of_object(self, path: str) -> None:
        """Ask for the deletion of whatever has a path."""
        await self._request(path, {})

    async def _of_secret(self, path: str) -> None:
        try:
            await self.of_object(path)
        except ClusterError as error:
            if not error.is_refusal:  # else the cluster removes it, with its pod
                raise

    async def _delete(self, pod: str, uid: str, grace: int) -> bool:
        """Ask for the deletion of a pod; whether it was there."""
        left = await self._request(pod, {"preconditions": {"uid": uid}, "gracePeriodSeconds": grace})
        if left is not None and grace and has_stopped(left):  # its node would take two seconds to agree
            await self._delete(pod, uid, 0)
        return left is not None

    async def _request(self, path: str, options: Mapping[str, Any]) -> Document | None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            return await self._client.request("DELETE", path, body=body)
        except ClusterError as error:
            if error.code in (404, 409):  # gone, or another's by now
                return None
            raise

    async def _is_gone(self, resource: KernelResource, changes: Changes, seconds: float) -> bool:
        deadline, longest = time.monotonic() + seconds, STUCK
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                change = await within(min(remaining, longest), changes.get())
            except asyncio.TimeoutError:
                if await self._pod(resource) is None:
                    return True
                continue
            if change.value is None:
                return True
            if isinstance(change.value, ClusterError):
                longest = RETRY  # it may not be watched
        return await self._pod(resource) is None


def check_finalizers(pod: Mapping[str, Any] | None) -> None:
    """Do nothing, unless a pod is only kept by finalizers: then nothing else would come of waiting.

    Raises
    ------
    ClusterError
        Says which they are and what to do.
    """
    metadata = {} if pod is None else pod["metadata"]
    finalizers = metadata.get("finalizers")
    # The node asks for a grace of 0 when the last process of a pod that is to be deleted has ended.
    if finalizers and metadata.get("deletionGracePeriodSeconds") == 0:
        place = f"{metadata['namespace']}/{metadata['name']}"
        raise ClusterError(
            f"pod {place} has ended, and its finalizers keep it in the cluster ({', '.join(finalizers)}): whoever set "
            f"them has to take them away; if nobody is there any more: kubectl patch pod {metadata['name']} "
            f'-n {metadata["namespace"]} --type merge -p \'{{"metadata":{{"finalizers":null}}}}\''
        )
