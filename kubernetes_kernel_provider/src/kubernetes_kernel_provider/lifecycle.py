"""`KubernetesLifecycleManager`: kernels as pods, which outlive their host and leave nothing behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, TypeVar

from kubernetes_kernel_provider.checks import check_cluster
from kubernetes_kernel_provider.client.api import MERGE_PATCH, ClusterClient, Document, Query
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.list_watch import Changes
from kubernetes_kernel_provider.client.location import NoClusterError
from kubernetes_kernel_provider.client.patience import until_answered
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.deaths import Deaths
from kubernetes_kernel_provider.following import PodFollower
from kubernetes_kernel_provider.kernel_creation import KernelCreator
from kubernetes_kernel_provider.known_namespaces import KnownNamespaces
from kubernetes_kernel_provider.leases import HostLease
from kubernetes_kernel_provider.manifests import (
    HostAccount,
    make_manifests,
    owner_labels,
    place,
    resource_of,
)
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from kubernetes_kernel_provider.manifests.labels import KERNEL_ANNOTATION, annotation_of, kernels_selector
from kubernetes_kernel_provider.memory import SecretMemory
from kubernetes_kernel_provider.namespaces import Namespaces
from kubernetes_kernel_provider.overdue import Overdue
from kubernetes_kernel_provider.own_address import own_address
from kubernetes_kernel_provider.paths import namespace_of, pod_path, secret_path
from kubernetes_kernel_provider.permissions import Permissions
from kubernetes_kernel_provider.remains import Remains
from kubernetes_kernel_provider.removal import Removal
from kubernetes_kernel_provider.routes import Routes
from kubernetes_kernel_provider.scope import PODS, Scope
from kubernetes_kernel_provider.signals import send_signal
from kubernetes_kernel_provider.statuses import GONE, Verdict, judge, refused
from kubernetes_kernel_provider.watches import Watches
from kubernetes_kernel_provider.workload import HostWorkload
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError, LaunchError
from remote_kernel_provider.findings import Finding
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.leftovers import Leftover
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

T = TypeVar("T")


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
        creator = Creator(self._client)
        self._memory = SecretMemory(self._client, creator, identity)
        self._permissions = Permissions(self._client)
        self._watches = Watches(self._client, self._permissions, settings.shared_namespace)
        self._routes = Routes(self._client, self._permissions, settings.kubernetes_route)
        named = () if settings.shared_namespace else settings.allowed_namespaces
        known = KnownNamespaces(identity.folder / self.name / "namespaces")
        self._scope = Scope(self._client, self._home, named, known)
        self._lease = HostLease(self._client, identity.place, self._home)
        self._deaths = Deaths(self._client, identity)
        self._remains = Remains(self._client, self._scope, self._deaths, self.find)
        self._overdue = Overdue()
        self._removal = Removal(self._client, self._pod)
        self._kernels = KernelCreator(creator, self._memory, self._removal, self._overdue, self._undo)
        self._namespaces = Namespaces(self._client, creator, self._permissions, self._overdue, settings)
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
        return await own_address((await self._client.configuration()).client.host)

    async def create(self, request: KernelRequest) -> KernelResource:
        """Create the pod, then all else as its property; see `LifecycleManager.create`."""
        creating = asyncio.ensure_future(self._create(request, await self._account()))
        if await settled(creating):  # nobody else knows of the pod
            if creating.exception() is None:
                with suppress(ClusterUnreachableError):
                    await self._undo(creating.result())
            raise asyncio.CancelledError
        try:
            return creating.result()
        except ClusterError as error:
            status = refused(error)
            raise LaunchError(f"kernel '{request.parameters.kernel_name}': {status.message}", status=status) from None

    async def _create(self, request: KernelRequest, account: HostAccount) -> KernelResource:
        placement = place(request, self._settings, account)
        placement = replace(placement, written=await self._lease.written(request.owner))
        if not placement.automatic:
            await self._scope.add(placement.namespace)
        owners = await self._workload.owners(placement.namespace, account)
        make = asyncio.to_thread(make_manifests, request, placement, self._settings, pod_owners=owners)
        try:
            # Before the pod: without a lease, nobody elsewhere could tell that its host is dead.
            manifests, _ = await asyncio.gather(make, self._lease.hold(request.owner, request.generation))
            async with self._namespaces.prepared(request, placement, account, manifests.pod):
                resource = await self._kernels.create(request, manifests)
        except BaseException:  # a cancellation included: there is no kernel that the lease would stand for
            await self._release(request.generation)
            raise
        return resource

    async def _undo(self, resource: KernelResource) -> None:
        await self.delete(resource, 0)

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
            pod = await self._client.request("GET", pod_path(resource))
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
        await until_answered(self._watches.decide)
        pods, changes = self._watches.pods(resource), Changes()
        async with pods.follow(resource.id, changes):
            first = pods.known(resource.id)
            if first is None:
                # Its end would be overlooked: the watch tells nothing of what was before.
                first = await until_answered(lambda: self._verdict(resource))
            if first is None:
                yield GONE
                return
            follower = PodFollower(resource.id, changes, lambda: self._watches.events(resource))
            async for status in follower.statuses(first):
                yield status

    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last lines of the kernel's container."""
        pod = await self._pod(resource)
        if pod is None or tail <= 0:
            return ""
        query: Query = {"tailLines": tail, "container": _container_name(pod)}
        try:
            return (await self._client.text(f"{pod_path(resource)}/log", query=query)).rstrip("\n")
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

    def unseen(self) -> list[str]:
        """Name the namespaces that this host may not look into."""
        return self._scope.unseen()

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

    async def clear(self, *, dry_run: bool, swept: Collection[str] = ()) -> list[Leftover]:
        """Remove leases of dead hosts, and what of their kernels lost its pod."""
        try:
            return await self._remains.clear(dry_run=dry_run, swept=swept)
        except NoClusterError:
            return []

    async def belongings(self, resource: KernelResource) -> list[Leftover]:
        """Name the pod, what it owns, and the namespace that was made for it."""
        pod = [Leftover(*(await self.place(resource)).split(" ", 1))] if await self._pod(resource) else []
        owned, namespace = await asyncio.gather(self._remains.of_kernel(resource), self._namespaces.belonging(resource))
        return [*pod, *owned, *namespace]

    async def place(self, resource: KernelResource) -> str:
        """Name the pod."""
        return f"pod {namespace_of(resource)}/{resource.data['pod']}"

    async def describe(self) -> str:
        """Name the cluster, its version and as whom it is used."""
        loaded = await self._client.configuration()
        version = await self._client.request("GET", "/version")
        return (
            f"Kubernetes {version.get('gitVersion')} at {loaded.client.host} ({loaded.source}), kernels by default in "
            f"namespace '{self._settings.namespace or loaded.namespace}', reached {self._routes.describe()}"
        )

    async def check(self) -> list[Finding]:
        """Check the version, the route and the permissions."""
        return await check_cluster(self._client, self._permissions, await self._home(), self._settings)

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the pod's address and the same ports, or where the API server forwards them."""

        async def route() -> Route:
            known = self._watches.pods(resource).known(resource.id) or await self._verdict(resource)
            if known is None or not known.status.address:
                raise KernelGoneError(f"kernel {resource.kernel_id} has no address: its pod does not run")
            where = (namespace_of(resource), pod_path(resource), known.status.address)
            return await self._routes.route(resource.id, *where, ports)

        # Who adopts a kernel has no time-out of his own.
        return await self._patiently(resource, route, self._settings.launch_timeout)

    async def answered(self, resource: KernelResource) -> None:
        """Note that the kernel's route is one, and keep its watch for its manager."""
        self._routes.answered(resource.id)
        self._watches.hand_over(resource)

    async def _patiently(
        self, resource: KernelResource, ask: Callable[[], Awaitable[T]], seconds: float = math.inf
    ) -> T:
        """Ask for what a launch needs; while the cluster is away, the kernel's status says so."""

        def tell(error: ClusterError | None) -> None:
            pods = self._watches.pods(resource)
            known = pods.known(resource.id)
            if known is not None:
                pods.tell(resource.id, known if error is None else known.while_away(error))

        return await until_answered(ask, tell, seconds)

    # Acting

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel's process."""
        pod = await self._pod(resource)
        if pod is None or judge(pod).status.phase.ended:
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals")
        try:
            await send_signal(self._client, pod_path(resource), pod, signum, lambda: self.recall(resource))
        except ClusterError:
            if (await self.status(resource)).phase.ended:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None
            raise

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """Delete the pod and its connection Secret, and wait until they are gone; later if the cluster is away."""
        try:
            await self._delete(resource, grace)
        except ClusterError as error:
            if error.is_passing:
                self._overdue.add(pod_path(resource), lambda: self._delete(resource, 0))
            raise

    async def _delete(self, resource: KernelResource, grace: float) -> None:
        await self._routes.give_up(resource.id)
        if not await self._namespaces.has_ended(resource):
            changes = Changes()
            async with self._watches.pods(resource).follow(resource.id, changes):
                await self._removal.of_kernel(resource, pod_path(resource), secret_path(resource), grace, changes)
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
        """Keep the memory in the pod's Secret, as soon as the cluster takes it."""

        async def keep() -> None:
            pod = await self._pod(resource)
            if pod is None:
                raise KernelGoneError(f"kernel {resource.kernel_id} is no longer there")
            await self._memory.keep(resource, pod, memory)

        await self._patiently(resource, keep)

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read the memory from the pod's Secret, if it is what this user's host wrote."""
        return await self._memory.recall(resource)

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
            await self._client.request(
                "PATCH", pod_path(resource), body={"metadata": metadata}, content_type=MERGE_PATCH
            )
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
        try:
            # Whoever asks the cluster by himself ends before the connections do.
            await self._overdue.close()
            await self._lease.close()
            await self._watches.close()
            await self._routes.close()
        finally:
            await self._client.close()


def _container_name(pod: Document) -> str:
    container = kernel_container(pod["spec"])
    return "" if container is None else str(container["name"])
