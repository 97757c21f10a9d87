"""`DockerLifecycleManager`: kernels in containers of a Docker engine, which outlive their host."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from docker_kernel_provider.archive import MEMORY_FILE, memory_entries, pack, read_file
from docker_kernel_provider.container import networks_of
from docker_kernel_provider.engine import Engine
from docker_kernel_provider.errors import EngineRefusalError, EngineUnreachableError
from docker_kernel_provider.kept import KeptFiles
from docker_kernel_provider.labels import resource_of_request
from docker_kernel_provider.output import last_output
from docker_kernel_provider.owners import Owners
from docker_kernel_provider.ports import inside_ports
from docker_kernel_provider.route import Ways, route_of
from docker_kernel_provider.starting import ContainerStart, Launcher
from docker_kernel_provider.status import GONE, UNREACHABLE, status_of
from docker_kernel_provider.undoing import Undoing
from docker_kernel_provider.users import KnownUsers
from docker_kernel_provider.watch import Containers, Watch
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import ConfigurationError, KernelGoneError, LaunchError, RemoteKernelError
from remote_kernel_provider.findings import Finding, note
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import (
    KernelMemory,
    KernelRequest,
    KernelResource,
    KernelStatus,
    LifecycleManager,
    Phase,
)
from remote_kernel_provider.owner import HostIdentity, Owner, OwnerSelector
from remote_kernel_provider.private_loop import end_task, settled
from remote_kernel_provider.sealing import MemorySeal

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)


class DockerLifecycleManager(LifecycleManager):
    """Runs kernels as containers of a Docker engine, each with its memory in it.

    Parameters
    ----------
    settings
        The operator's.
    identity
        This user's host identity.
    """

    name: ClassVar[str] = "docker"

    def __init__(self, settings: RemoteKernelSettings, identity: HostIdentity) -> None:
        super().__init__(settings, identity)
        self._engine = Engine(settings.docker_host)
        self._undoing = Undoing(self.delete)
        self._watch = Watch(self._engine, Containers(self._engine), self._undoing.on_back)
        self._ways = Ways(self._engine, settings)
        self._seal = MemorySeal(identity)
        self._kept = KeptFiles(identity.folder / self.name / "kernels")
        self._owners = Owners(self.name, self._engine, identity, self._kept, _list)
        users = KnownUsers(identity.folder / self.name / "images.json")
        self._launcher = Launcher(self._engine, settings, self._ways, self._seal, users)
        self._pulling: dict[str, asyncio.Task[None]] = {}
        self._started: dict[str, Mapping[str, Any]] = {}

    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose ports inside the container, which has all of them to itself."""
        return inside_ports(count, port_range, preferred)

    async def response_host(self) -> str:
        """Return the address of this host in the kernels' network."""
        network = networks_of({}, self._settings)[0]
        way = await self._ways.to(network)
        if not way.host_ip:
            raise ConfigurationError(
                f"at which address kernels in Docker reach this host is not known ({way.reason}); set response_ip"
            )
        return way.host_ip

    async def create(self, request: KernelRequest) -> KernelResource:
        """Start the kernel's container; where its image has to be pulled first, in the background."""
        resource = resource_of_request(self.name, request, time.time())
        loop = asyncio.get_running_loop()

        def report(status: KernelStatus) -> None:
            loop.call_soon_threadsafe(self._watch.tell, resource.id, status)

        start = ContainerStart(self._launcher, request, resource, report)
        try:
            _, image = await asyncio.gather(self._watch.open(), start.image())
            if image is None:
                self._watch.tell(resource.id, start.pulling)
                pulling = loop.create_task(self._pull_and_start(start, resource))
                self._pulling[resource.id] = pulling
            else:
                await self._start(start, resource, image)
        except BaseException as error:  # a cancellation included: whoever cancels knows of no kernel yet
            await self._undoing.undo(resource)
            if isinstance(error, EngineUnreachableError):
                status = KernelStatus(Phase.FAILED, reason=UNREACHABLE, message=str(error))
                name = request.parameters.kernel_name
                raise LaunchError(f"kernel '{name}': {error}", status=status) from None
            raise
        return resource

    async def _start(self, start: ContainerStart, resource: KernelResource, image: Any) -> None:
        # The threads' work cannot be cancelled: what it makes is known, and deleted, only when it is done.
        starting = asyncio.ensure_future(start.start(image))
        if await settled(starting):
            _ = starting.cancelled() or starting.exception()  # looked at, so that nobody complains about it
            raise asyncio.CancelledError
        self._started[resource.id] = container = starting.result()
        self._watch.tell(resource.id, status_of(container))

    async def _pull_and_start(self, start: ContainerStart, resource: KernelResource) -> None:
        try:
            await self._start(start, resource, await start.pull())
        except RemoteKernelError as error:
            said = error.status if isinstance(error, LaunchError) else None
            reason = UNREACHABLE if isinstance(error, EngineUnreachableError) else "LaunchFailed"
            self._watch.tell(resource.id, said or KernelStatus(Phase.FAILED, reason=reason, message=str(error)))
        except Exception as error:  # whatever it is: a launch that waits for an image hears of it in no other way
            log.exception("The launch of kernel %s failed after its image was pulled", resource.kernel_id)
            message = f"its launch failed unexpectedly: {error!r}; the host's log has more"
            self._watch.tell(resource.id, KernelStatus(Phase.FAILED, reason="LaunchFailed", message=message))
        finally:
            self._pulling.pop(resource.id, None)

    async def answered(self, resource: KernelResource) -> None:
        """Forget what only the launch needed."""
        self._started.pop(resource.id, None)

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the engine."""
        if resource.id in self._pulling:
            return self._watch.last(resource.id) or KernelStatus(Phase.PULLING)
        container = await self._inspect(resource)
        return GONE if container is None else status_of(container)

    async def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield the present status, then each change."""
        async for status in self._watch.follow(resource.id):
            yield status

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel: the container's init process passes it on to its one child, the kernel."""
        try:
            await self._engine.run(lambda client: client.kill(resource.id, signum))
        except EngineRefusalError as error:
            if error.not_found or error.conflict:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None
            raise

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """End the kernel and remove its container; where the engine is away, as soon as it is back."""
        pulling = self._pulling.pop(resource.id, None)
        if pulling is not None:
            await end_task(pulling)
        self._started.pop(resource.id, None)
        try:
            await self._engine.run(_remove, resource.id, math.ceil(grace))
        except EngineUnreachableError:
            self._undoing.note(resource)
            raise
        await self._ways.give_up(resource.id)
        self._kept.forget(resource.id)
        self._watch.forget(resource.id)

    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last lines that the container wrote; nothing where the engine is away."""
        return await last_output(self._engine, lambda client: client.logs(resource.id, tail=tail))

    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the containers with the labels of these owners, running or not."""
        return await self._owners.find(selector)

    async def belongings(self, resource: KernelResource) -> list[Leftover]:
        """Name the container, its volumes without a name of their own, and what is kept beside it."""
        container = await self._inspect(resource)
        found = [] if container is None else [Leftover("container", resource.id), *_own_volumes(container)]
        return [*found, *(Leftover("file", str(file)) for file in self._kept.files(resource.id))]

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the container's address, or the ports at which its own are published."""
        container = self._started.get(resource.id) or await self._inspect(resource)
        if container is None:
            raise KernelGoneError(f"kernel {resource.kernel_id} has no container any more")
        route = route_of(container, ports)
        if route is None:
            if status_of(container).phase.ended:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended")
            raise LaunchError(f"the container of kernel {resource.kernel_id} has no address in its network")
        return await self._ways.near(resource.id, route)

    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Put the memory into the running container."""

        def put(client: APIClient) -> None:
            container = client.inspect_container(resource.id)["Id"]
            client.put_archive(container, "/", pack(memory_entries(self._seal.seal(container, memory))))

        await self._engine.run(put)

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read the memory out of the container, if it is what this user's host wrote for it."""

        def read(client: APIClient) -> tuple[str, bytes | None]:
            container = client.inspect_container(resource.id)["Id"]
            return container, read_file(client, container, MEMORY_FILE)

        try:
            container, content = await self._engine.run(read)
        except EngineRefusalError as error:
            if error.not_found:
                raise KernelGoneError(f"kernel {resource.kernel_id} has no container any more") from None
            raise
        return self._seal.open(resource, container, content)

    async def reassign(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Note the new owner beside this user's host identity."""
        if await self._inspect(resource) is None:
            raise KernelGoneError(f"kernel {resource.kernel_id} has no container any more")
        return await self._owners.note(resource, owner)

    async def describe(self) -> str:
        """Say which engine it is, and how its kernels are reached."""
        facts = await self._engine.facts()
        way = await self._ways.to(networks_of({}, self._settings)[0])
        how = f"ports published on {way.publish_ip}" if way.publish_ip else "their containers' addresses"
        where = f"{facts.location.host} ({facts.location.source})"
        return f"Docker {facts.version} at {where}; kernels are reached at {how}, because {way.reason}"

    async def check(self) -> list[Finding]:
        """Note what the engine does not enforce."""
        if (await self._engine.facts()).limits:
            return []
        seen = "the engine does not enforce all of memory_limit, cpus_limit and docker_pids_limit"
        return [note("limits in Docker", seen, "start its machine with cgroup v2, or run the engine as root")]

    async def close(self) -> None:
        """Release the client, its threads and the watch; containers stay."""
        for task in list(self._pulling.values()):
            await end_task(task)
        await self._undoing.close()
        await self._watch.close()
        await self._engine.close()

    async def _inspect(self, resource: KernelResource) -> Mapping[str, Any] | None:
        try:
            return await self._engine.run(lambda client: client.inspect_container(resource.id))
        except EngineRefusalError as error:
            if error.not_found:
                return None
            raise


def _list(client: APIClient, labels: list[str]) -> dict[str, Mapping[str, str]]:
    """Return the labels of the containers, by their names."""
    found = client.containers(all=True, filters={"label": labels})
    return {container["Names"][0].lstrip("/"): container["Labels"] for container in found}


def _own_volumes(container: Mapping[str, Any]) -> list[Leftover]:
    """Return the volumes that go with a container; those that somebody named stay."""
    named = {mount.get("Source") for mount in container["HostConfig"].get("Mounts") or ()}
    volumes = [mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    return [Leftover("volume", name) for name in volumes if name not in named]


def _remove(client: APIClient, name: str, grace: int) -> None:
    """Remove a container, and wait until it is gone."""
    from docker.errors import APIError, NotFound

    with suppress(NotFound):
        if grace > 0:
            client.stop(name, timeout=grace)
        try:
            client.remove_container(name, force=True, v=True)
        except APIError as error:
            if error.status_code != 409:
                raise
            client.wait(name, condition="removed")  # another removal is under way
