"""`KubernetesLifecycleManager`: kernels as pods, which outlive their host and leave nothing behind."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from kubernetes_kernel_provider.client.api import MERGE_PATCH, ClusterClient, Document, Query
from kubernetes_kernel_provider.client.collections import Collections, namespaced
from kubernetes_kernel_provider.client.commands import run_in_container
from kubernetes_kernel_provider.client.configuration import NoClusterError
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.list_watch import Changes, ListWatch
from kubernetes_kernel_provider.following import PodFollower, read_pod
from kubernetes_kernel_provider.manifests import (
    HostAccount,
    KernelManifests,
    connection_secret,
    make_manifests,
    owner_labels,
    place,
    read_memory,
    resource_of,
    secret_name,
)
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from kubernetes_kernel_provider.manifests.labels import KERNEL_ANNOTATION, annotation_of
from kubernetes_kernel_provider.routes import Routes
from kubernetes_kernel_provider.signals import signalling_command
from kubernetes_kernel_provider.statuses import GONE, Verdict, judge, refused
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError, LaunchError
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import (
    KernelMemory,
    KernelRequest,
    KernelResource,
    KernelStatus,
    LifecycleManager,
)
from remote_kernel_provider.owner import HostIdentity, Owner, OwnerSelector
from remote_kernel_provider.private_loop import settled

FIRST_PORT = 52700
"""First port of a kernel in its pod, where nobody else takes ports."""

STUCK = 30.0
"""Seconds beyond its grace after which the deletion of a pod counts as stuck."""

RETRY = 1.0
"""Seconds between two questions to a cluster that cannot be reached."""


class KubernetesLifecycleManager(LifecycleManager):
    """Runs each kernel in a pod of its own.

    Parameters
    ----------
    settings
        The operator's.
    identity
        This user's host identity.
    """

    name: ClassVar[str] = KUBERNETES

    def __init__(self, settings: RemoteKernelSettings, identity: HostIdentity) -> None:
        super().__init__(settings, identity)
        self._client = ClusterClient(settings.kubernetes_context)
        self._collections = Collections(self._client)
        self._watches: dict[tuple[str, str], ListWatch[Verdict]] = {}
        self._routes = Routes(self._client, settings.kubernetes_route)
        self._namespaces: set[str] = set()

    # Creating

    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose ports of the pod: any are free there."""
        lowest, highest = port_range
        first = FIRST_PORT if lowest == highest else lowest
        if lowest < highest < first + count - 1:
            raise LaunchError(f"port_range {lowest}..{highest} has no {count} ports; give a wider one")
        return "0.0.0.0", preferred or range(first, first + count)  # of the pod, not of this machine

    async def response_host(self) -> str:
        """Return the address from which this host reaches the API server: pods reach it there, as a rule."""
        server = urlsplit((await self._client.configuration()).client.host)
        port = server.port or (443 if server.scheme == "https" else 80)
        return await asyncio.to_thread(_own_address, str(server.hostname), port)

    async def create(self, request: KernelRequest) -> KernelResource:
        """Create the pod, then all else as its property; see `LifecycleManager.create`."""
        account = await self._account()
        placement = place(request.spec, request.parameters, self._settings, account)
        manifests = await asyncio.to_thread(make_manifests, request, placement, self._settings)
        creating = asyncio.ensure_future(self._create(request, manifests))
        if await settled(creating):  # nobody else knows of the pod
            if creating.exception() is None:
                await self.delete(creating.result(), 0)
            raise asyncio.CancelledError
        try:
            return creating.result()
        except ClusterError as error:
            status = refused(error)
            raise LaunchError(f"kernel '{request.parameters.kernel_name}': {status.message}", status=status) from None

    async def _create(self, request: KernelRequest, manifests: KernelManifests) -> KernelResource:
        try:
            pod = await self._post(manifests.pod.document)
        except ClusterError as error:
            if not 400 <= error.code < 500:  # it may have been created all the same
                with suppress(ClusterError):
                    await self._client.request("DELETE", namespaced("pods", manifests.namespace, manifests.name))
            raise
        resource = resource_of(pod)
        assert resource is not None  # we wrote it
        self._namespaces.add(manifests.namespace)
        others = [found.document for found in manifests.owned(resource.id)]
        if request.memory is not None:
            others.insert(0, connection_secret(pod, resource.id, request.memory, self._identity.seal))
        try:
            await asyncio.gather(*(self._post(document) for document in others))
        except BaseException:  # nothing is left behind, however it ends
            await self.delete(resource, 0)
            raise
        return resource

    async def _post(self, document: Mapping[str, Any]) -> Document:
        # Strict: a misspelt field is an error, and not left out in silence.
        path = await self._collections.of(document)
        return await self._client.request("POST", path, query={"fieldValidation": "Strict"}, body=document)

    async def _account(self) -> HostAccount:
        loaded = await self._client.configuration()
        return HostAccount(loaded.namespace, loaded.service_account)

    # Looking

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the cluster for the pod."""
        verdict = await self._verdict(resource)
        return GONE if verdict is None else verdict.status

    async def _pod(self, resource: KernelResource) -> Document | None:
        try:
            pod = await self._client.request("GET", _path(resource))
        except ClusterError as error:
            if error.is_missing:
                return None
            raise
        return pod if pod["metadata"]["uid"] == resource.id else None

    async def _verdict(self, resource: KernelResource) -> Verdict | None:
        pod = await self._pod(resource)
        return None if pod is None else judge(pod)

    async def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield the present status and each change, from the watch that all kernels of a namespace share."""
        pods, changes = self._watch(resource), Changes()
        async with pods.follow(resource.id, changes):
            first = pods.known(resource.id)
            if first is None:
                first = await self._first_verdict(resource)
            if first is None:
                yield GONE
                return
            follower = PodFollower(resource.id, changes, lambda: self._events(resource))
            async for status in follower.statuses(first):
                yield status

    async def _first_verdict(self, resource: KernelResource) -> Verdict | None:
        while True:
            try:
                return await self._verdict(resource)
            except ClusterError as error:
                if error.code:
                    raise
                await asyncio.sleep(RETRY)  # its end would be overlooked: the watch tells nothing of what was before

    def _watch(self, resource: KernelResource) -> ListWatch[Verdict]:
        """Return the watch of the resource's namespace; those that nobody follows any more are dropped."""
        self._watches = {key: watch for key, watch in self._watches.items() if watch.is_followed}
        key = (_namespace(resource), resource.owner.host_id)
        if key not in self._watches:
            selector = _selector(OwnerSelector(host_id=resource.owner.host_id))
            path = namespaced("pods", key[0])
            self._watches[key] = ListWatch(self._client, path, {"labelSelector": selector}, read_pod)
        return self._watches[key]

    def _events(self, resource: KernelResource) -> ListWatch[Document]:
        selector = {"fieldSelector": f"involvedObject.uid={resource.id}"}
        return ListWatch(self._client, namespaced("events", _namespace(resource)), selector, lambda event, _: event)

    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last lines of the kernel's container."""
        pod = await self._pod(resource)
        if pod is None or tail <= 0:
            return ""
        query: Query = {"tailLines": tail, "container": _container_name(pod)}
        try:
            return (await self._client.text(f"{_path(resource)}/log", query=query)).rstrip("\n")
        except ClusterError as error:
            if error.code in (400, 404):  # the container never started, or the pod has gone meanwhile
                return ""
            raise

    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the pods of the owners' kernels: of all namespaces where this host may, else of those that it knows."""
        query = {"labelSelector": _selector(selector)}
        try:
            lists = [await self._client.request("GET", "/api/v1/pods", query=query)]
        except NoClusterError:
            return []  # the package is installed, and not used here
        except ClusterError as error:
            if not error.is_refusal:
                raise
            own = (await self._account()).namespace
            namespaces = sorted({*self._namespaces, self._settings.namespace or own})
            paths = [namespaced("pods", namespace) for namespace in namespaces]
            lists = await asyncio.gather(*(self._client.request("GET", path, query=query) for path in paths))
        pods = [pod for each in lists for pod in each["items"]]
        found = [resource for pod in pods if (resource := resource_of(pod)) is not None]
        return [resource for resource in found if selector.matches(resource.owner)]

    async def place(self, resource: KernelResource) -> str:
        """Name the pod."""
        return f"pod {_namespace(resource)}/{resource.data['pod']}"

    async def describe(self) -> str:
        """Name the cluster, its version and as whom it is used."""
        loaded = await self._client.configuration()
        version = await self._client.request("GET", "/version")
        return (
            f"Kubernetes {version.get('gitVersion')} at {loaded.client.host} ({loaded.source}), kernels by default in "
            f"namespace '{self._settings.namespace or loaded.namespace}', reached {self._routes.describe()}"
        )

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the pod's address and the same ports, or where the API server forwards them."""
        known = self._watch(resource).known(resource.id) or await self._verdict(resource)
        if known is None or not known.status.address:
            raise KernelGoneError(f"kernel {resource.kernel_id} has no address: its pod does not run")
        return await self._routes.route(resource.id, _path(resource), known.status.address, ports)

    # Acting

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel's process, by a command in its container."""
        pod = await self._pod(resource)
        if pod is None or judge(pod).status.phase.ended:
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals")
        try:
            code = await run_in_container(
                self._client, _path(resource), _container_name(pod), signalling_command(signum)
            )
        except ClusterError:
            if (await self.status(resource)).phase.ended:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None
            raise
        # A kernel that ends takes the command with it.
        if code not in (0, 128 + signum, 137):
            raise ClusterError(
                f"kernel {resource.kernel_id} was not sent signal {signum}: its image needs a shell for it (exit code "
                f"{code}); let its spec say interrupt_mode: message"
            )

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """Delete the pod and its connection Secret, and wait until they are gone."""
        await self._routes.give_up(resource.id)
        changes = Changes()
        async with self._watch(resource).follow(resource.id, changes):
            seconds = max(1, math.ceil(grace))  # 0 would remove the pod from the API, and not its processes
            removed, _ = await asyncio.gather(
                self._remove(_path(resource), resource.id, seconds),
                self._remove(_secret_path(resource), None, None),
            )
            if removed and not await self._is_gone(resource, changes, seconds + STUCK):
                await self._remove(_path(resource), resource.id, 0)
                if not await self._is_gone(resource, changes, STUCK):
                    raise ClusterError(
                        f"pod {_namespace(resource)}/{resource.data['pod']} is not removed by the cluster; see its "
                        "finalizers: kubectl get pod -o yaml"
                    )

    async def _remove(self, path: str, uid: str | None, grace: int | None) -> bool:
        """Ask for a deletion; whether there was something to delete."""
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options |= {"preconditions": {"uid": uid}, "gracePeriodSeconds": grace}
        try:
            await self._client.request("DELETE", path, body=options)
        except ClusterError as error:
            if error.code in (404, 409):  # gone, or another's by now
                return False
            raise
        return True

    async def _is_gone(self, resource: KernelResource, changes: Changes, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                change = await asyncio.wait_for(changes.get(), min(remaining, STUCK))
            except asyncio.TimeoutError:
                break
            if change.value is None:
                return True
        return await self._pod(resource) is None

    # Surviving

    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Keep the memory in the pod's Secret."""
        pod = await self._pod(resource)
        if pod is None:
            raise KernelGoneError(f"kernel {resource.kernel_id} is no longer there")
        await self._post(connection_secret(pod, resource.id, memory, self._identity.seal))

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read the memory from the pod's Secret, if it is what this user's host wrote."""
        try:
            secret = await self._client.request("GET", _secret_path(resource))
        except ClusterError as error:
            if error.is_missing:
                raise KernelGoneError(f"nothing is kept of kernel {resource.kernel_id}; it cannot be adopted") from None
            raise
        try:
            return read_memory(secret, resource.id, self._identity.is_sealed)
        except KernelGoneError as error:
            raise KernelGoneError(f"kernel {resource.kernel_id}: {error}") from None

    async def reassign(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Write the new owner onto the pod."""
        owned = replace(resource, owner=owner)
        metadata = {
            "uid": resource.id,  # of another pod by this name it is refused
            "labels": owner_labels(owner),
            "annotations": {KERNEL_ANNOTATION: annotation_of(owned)},
        }
        try:
            await self._client.request("PATCH", _path(resource), body={"metadata": metadata}, content_type=MERGE_PATCH)
        except ClusterError as error:
            if error.code in (404, 409):
                raise KernelGoneError(f"kernel {resource.kernel_id} is no longer there; it cannot be adopted") from None
            raise
        return owned

    async def close(self) -> None:
        """Close the watches and all connections; the pods go on."""
        await asyncio.gather(*(watch.close() for watch in self._watches.values()))
        self._watches = {}
        await self._routes.close()
        await self._client.close()


def _namespace(resource: KernelResource) -> str:
    return str(resource.data["namespace"])


def _path(resource: KernelResource) -> str:
    return namespaced("pods", _namespace(resource), str(resource.data["pod"]))


def _secret_path(resource: KernelResource) -> str:
    return namespaced("secrets", _namespace(resource), secret_name(str(resource.data["pod"])))


def _container_name(pod: Document) -> str:
    container = kernel_container(pod["spec"])
    return "" if container is None else str(container["name"])


def _selector(selector: OwnerSelector) -> str:
    """Return the label selector of the kernels of some owners; it may match more, never less."""
    labels = {"app": "remote-kernel-provider", "component": "kernel"}
    return ",".join(f"{name}={value}" for name, value in {**labels, **owner_labels(selector)}.items())


def _own_address(server: str, port: int) -> str:
    """Return the address of this machine from which it would reach another; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((server, port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise LaunchError(
            f"no address of this host is known at which pods can reach it ({error}); set response_ip"
        ) from None
