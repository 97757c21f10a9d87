"""`Watches`: by what this host follows its kernels: a watch of pods, and one of events while a start is slow."""

from __future__ import annotations

import asyncio
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.client.list_watch import Changes, ListWatch
from kubernetes_kernel_provider.client.rules import Rule
from kubernetes_kernel_provider.manifests.labels import kernels_selector
from kubernetes_kernel_provider.paths import namespace_of
from kubernetes_kernel_provider.permissions import Need, Permissions
from kubernetes_kernel_provider.scope import CORE
from kubernetes_kernel_provider.statuses import Event, Verdict, judge, judge_deleted, read_event
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import end_task

EVERYWHERE = ""
"""In the place of a namespace: all of them."""

_FOLLOWING = Need(Rule("pods", ("list", "watch")), "following kernels in all namespaces", False)


HANDOVER = 1.0
"""Seconds in which a kernel's manager follows it after its launch."""


class Watches:
    """The watches of a host, each of them open while somebody follows it.

    A watch is of one namespace. Where kernels have namespaces to themselves or name them, one watch of the whole
    cluster serves them all, if this host is permitted to have it.

    Parameters
    ----------
    client, permissions
        Of the cluster.
    shared_namespace
        The operator's setting: whether all kernels are in one namespace.
    """

    def __init__(self, client: ClusterClient, permissions: Permissions, shared_namespace: bool) -> None:
        self._client = client
        self._permissions = permissions
        self._sees_everything: bool | None = False if shared_namespace else None
        self._asking = asyncio.Lock()
        self._open: dict[tuple[str, ...], ListWatch[Any]] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def decide(self) -> None:
        """Find out, once, whether a watch may be of the whole cluster."""
        async with self._asking:
            if self._sees_everything is None:
                self._sees_everything = not await self._permissions.missing(EVERYWHERE, [_FOLLOWING])

    def pods(self, resource: KernelResource) -> ListWatch[Verdict]:
        """Return the watch that tells of a kernel's pod, by its uid."""
        namespace = EVERYWHERE if self._sees_everything else namespace_of(resource)
        host_id = resource.owner.host_id
        path = namespaced("pods", namespace) if namespace else f"{CORE}/pods"
        selector = {"labelSelector": kernels_selector(OwnerSelector(host_id=host_id))}
        made: ListWatch[Verdict] = ListWatch(self._client, path, selector, read_pod)
        return self._shared(("pods", namespace, host_id), made)

    def events(self, resource: KernelResource) -> ListWatch[Event]:
        """Return the watch that tells of the last event of each pod in a kernel's namespace, by `event_key`."""
        namespace = namespace_of(resource)
        # Events carry no labels by which those of our pods could be chosen.
        selector = {"fieldSelector": "involvedObject.kind=Pod"}
        made: ListWatch[Event] = ListWatch(
            self._client,
            namespaced("events", namespace),
            selector,
            lambda event, _, known: read_event(event, known),
            lambda event: event_key(str(event["involvedObject"].get("uid"))),
        )
        return self._shared(("events", namespace), made)

    def _shared(self, key: tuple[str, ...], made: ListWatch[Any]) -> ListWatch[Any]:
        """Return the watch that there is already; those that nobody follows any more are dropped."""
        self._open = {key: watch for key, watch in self._open.items() if watch.is_followed}
        return self._open.setdefault(key, made)

    def hand_over(self, resource: KernelResource) -> None:
        """Keep a kernel's watch from ending with its launch, only to begin anew for its manager."""
        task = asyncio.get_running_loop().create_task(self._keep(resource))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, resource: KernelResource) -> None:
        async with self.pods(resource).follow(resource.id, Changes()):
            await asyncio.sleep(HANDOVER)

    async def close(self) -> None:
        """Watch nothing any more."""
        await asyncio.gather(*(end_task(task) for task in list(self._keeping)))
        await asyncio.gather(*(watch.close() for watch in self._open.values()))
        self._open = {}


def read_pod(pod: Document, deleted: bool, known: Verdict | None) -> Verdict:
    """Make of a pod what its followers need."""
    return Verdict(judge_deleted(pod), 0) if deleted else judge(pod)


def event_key(uid: str) -> str:
    """Return what the events of a pod are followed by; its uid alone is the key of the pod itself."""
    return f"events of {uid}"
