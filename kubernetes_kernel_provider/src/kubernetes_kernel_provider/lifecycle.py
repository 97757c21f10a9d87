"""`KubernetesLifecycleManager`: kernels as pods, which outlive their host and leave nothing behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlsplit

from kubernetes_kernel_provider.checks import check_permissions, check_version
from kubernetes_kernel_provider.client.api import MERGE_PATCH, ClusterClient, Document, Query
from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.client.configuration import NoClusterError
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.list_watch import Changes, ListWatch
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.deaths import Deaths
from kubernetes_kernel_provider.dry_run import DryRuns
from kubernetes_kernel_provider.following import PodFollower, read_pod
from kubernetes_kernel_provider.leases import HostLease
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
from kubernetes_kernel_provider.manifests.labels import KERNEL_ANNOTATION, annotation_of, kernels_selector
from kubernetes_kernel_provider.namespaces import Namespaces
from kubernetes_kernel_provider.overdue import Overdue
from kubernetes_kernel_provider.permissions import Permissions
from kubernetes_kernel_provider.remains import Remains
from kubernetes_kernel_provider.removal import Removal
from kubernetes_kernel_provider.routes import Routes
from kubernetes_kernel_provider.scope import PODS, Scope
from kubernetes_kernel_provider.signals import send_signal
from kubernetes_kernel_provider.statuses import GONE, Verdict, judge, refused
from kubernetes_kernel_provider.workload import HostWorkload
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError, LaunchError
from remote_kernel_provider.findings import Finding
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import (
    KernelMemory,
    KernelRequest,
    KernelResource,
    KernelStatus,
    LifecycleManager,
)
from remote_kernel_provider.owner import HostIdentity, HostState, Owner, OwnerSelector
from remote_kernel_provider.private_loop import settled

FIRST_PORT = 52700
"""First port of a kernel in its pod, where nobody else takes ports."""

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
        self._creator = Creator(self._client)
        self._dry_runs = DryRuns(self._creator)
        self._watches: dict[tuple[str, str], ListWatch[Verdict]] = {}
        self._permissions = Permissions(self._client)
        self._routes = Routes(self._client, self._permissions, settings.kubernetes_route)
        self._scope = Scope(self._client, self._home)
        self._lease = HostLease(self._client, identity.place, self._home)
        self._deaths = Deaths(self._client, identity)
        self._remains = Remains(self._client, self._scope, self._deaths, self.find)
        self._overdue = Overdue()
        self._removal = Removal(self._client, self._pod)
        self._namespaces = Namespaces(self._client, self._creator, self._permissions, self._overdue, settings)
        self._workload = HostWorkload(self._client, settings.end_with_workload)

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
        creating = asyncio.ensure_future(self._create(request, await self._account()))
        if await settled(creating):  # nobody else knows of the pod
            if creating.exception() is None:
                with suppress(ClusterUnreachableError):
                    await self.delete(creating.result(), 0)
            raise asyncio.CancelledError
        try:
            return creating.result()
        except ClusterError as error:
            status = refused(error)
            raise LaunchError(f"kernel '{request.parameters.kernel_name}': {status.message}", status=status) from None

    async def _create(self, request: KernelRequest, account: HostAccount) -> KernelResource:
        placement = place(request, self._settings, account)
        placement = replace(placement, written=await self._lease.written(request.owner))
        owners = await self._workload.owners(placement.namespace, account)
        make = asyncio.to_thread(make_manifests, request, placement, self._settings, pod_owners=owners)
        try:
            # Before the pod: without a lease, nobody elsewhere could tell that its host is dead.
            manifests, _ = await asyncio.gather(make, self._lease.hold(request.owner, request.generation))
            async with self._namespaces.prepared(request, placement, account, manifests.pod):
                resource = await self._create_objects(request, manifests)
        except BaseException:
            await self._release(request.generation)
            raise
        if not placement.automatic:
            self._scope.add(placement.namespace)
        return resource

    async def _create_objects(self, request: KernelRequest, manifests: KernelManifests) -> KernelResource:
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
        others = [self._creator.create_rendered(found) for found in manifests.owned(resource.id)]
        if request.memory is not None:
            secret = connection_secret(pod, resource.id, request.memory, self._identity.seal)
            others.insert(0, self._creator.create(secret))
        try:
            await asyncio.gather(*others)
        except BaseException:  # nothing is left behind, however it ends
            await self.delete(resource, 0)
            raise
        return resource

    async def _account(self) -> HostAccount:
        loaded = await self._client.configuration()
        return HostAccount(loaded.namespace, loaded.service_account)

    async def _home(self) -> str:
        return self._settings.namespace or (await self._account()).namespace

    # Looking

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the cluster for the pod."""
        verdict = await self._verdict(resource)
        return GONE if verdict is None else verdict.status

    async def _pod(self, resource: KernelResource) -> Document | None:
        try:
            pod = await self._client.request("GET", _path(resource))
        except ClusterError as error:
            if error.is_missing or (error.is_refusal and await self._namespaces.has_ended(resource)):
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
            selector = kernels_selector(OwnerSelector(host_id=resource.owner.host_id))
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
        labels = kernels_selector(selector)
        try:
            pods = await self._scope.everywhere(PODS, labels)
        except NoClusterError:
            return []  # the package is installed, and not used here
        if pods is None:
            pods = await self._scope.nearby(PODS, labels)
            lists = await self._namespaces.pods(selector, {"labelSelector": labels})
            pods += [pod for each in lists for pod in each["items"]]
        found = [resource for pod in pods if (resource := resource_of(pod)) is not None]
        return [resource for resource in found if selector.matches(resource.owner)]

    async def host_state(self, resource: KernelResource) -> HostState:
        """Say whether the host of a kernel lives: by its lock on this machine, else by its lease."""
        return await self._deaths.state(resource.owner, resource.data)

    async def find_abandoned(self) -> list[KernelResource]:
        """List the kernels of hosts whose leases have run out, and this machine's namespaces without pods."""
        try:
            expired = await self._remains.expired_owners()
        except NoClusterError:
            return []
        own = OwnerSelector(host_id=self._identity.host_id)
        asked = [self._namespaces.kernels(own)]
        asked += [ask(selector) for selector in expired for ask in (self._namespaces.kernels, self.find)]
        return [resource for found in await asyncio.gather(*asked) for resource in found]

    async def clear(self, *, dry_run: bool) -> list[str]:
        """Remove leases of dead hosts, and what of their kernels lost its pod."""
        try:
            return await self._remains.clear(dry_run=dry_run)
        except NoClusterError:
            return []

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

    async def check(self) -> list[Finding]:
        """Check the version and the permissions."""
        version = await self._client.request("GET", "/version")
        allowed = await check_permissions(self._permissions, await self._home(), self._settings)
        return [*check_version(str(version.get("gitVersion"))), *allowed]

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the pod's address and the same ports, or where the API server forwards them."""
        known = self._watch(resource).known(resource.id) or await self._verdict(resource)
        if known is None or not known.status.address:
            raise KernelGoneError(f"kernel {resource.kernel_id} has no address: its pod does not run")
        namespace = _namespace(resource)
        return await self._routes.route(resource.id, namespace, _path(resource), known.status.address, ports)

    # Acting

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel's process."""
        pod = await self._pod(resource)
        if pod is None or judge(pod).status.phase.ended:
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals")
        try:
            await send_signal(self._client, _path(resource), pod, signum, lambda: self.recall(resource))
        except ClusterError:
            if (await self.status(resource)).phase.ended:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None
            raise

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """Delete the pod and its connection Secret, and wait until they are gone; later if the cluster is away."""
        try:
            await self._delete(resource, grace)
        except ClusterUnreachableError:
            self._overdue.add(_path(resource), lambda: self._delete(resource, 0))
            raise

    async def _delete(self, resource: KernelResource, grace: float) -> None:
        await self._routes.give_up(resource.id)
        if not await self._namespaces.has_ended(resource):
            changes = Changes()
            async with self._watch(resource).follow(resource.id, changes):
                await self._removal.of_kernel(resource, _path(resource), _secret_path(resource), grace, changes)
            await self._namespaces.remove(resource)
        await self._release(resource.generation)

    async def _release(self, generation: str) -> None:
        """Note that a kernel is gone; its end is no failure because of a lease that stays."""
        try:
            await self._lease.release(generation)
        except ClusterError as error:
            if not error.is_refusal:
                self._overdue.add(f"lease of {generation}", lambda: self._lease.release(generation))

    # Surviving

    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Keep the memory in the pod's Secret."""
        pod = await self._pod(resource)
        if pod is None:
            raise KernelGoneError(f"kernel {resource.kernel_id} is no longer there")
        await self._creator.create(connection_secret(pod, resource.id, memory, self._identity.seal))

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
        await self._lease.hold(owner, resource.generation)
        owned = replace(resource, owner=owner, data={**resource.data, **await self._lease.written(owner)})
        if owned == resource:
            return owned
        metadata = {
            "uid": resource.id,  # of another pod by this name it is refused
            "labels": owner_labels(owner),
            "annotations": {KERNEL_ANNOTATION: annotation_of(owned)},
        }
        try:
            await self._client.request("PATCH", _path(resource), body={"metadata": metadata}, content_type=MERGE_PATCH)
        except ClusterError as error:
            if error.code in (404, 409):
                await self._release(resource.generation)
                raise KernelGoneError(f"kernel {resource.kernel_id} is no longer there; it cannot be adopted") from None
            raise
        return owned

    async def resume(self, resource: KernelResource) -> KernelResource:
        """Have a lease again, and write onto the pod where this host's locks are now."""
        return await self.reassign(resource, resource.owner)

    async def close(self) -> None:
        """Close the watches and all connections; the pods go on."""
        await self._overdue.close()
        await self._lease.close()
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
