"""`SwarmLifecycleManager`: kernels in services of a Docker Swarm, which outlive their host."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from docker_kernel_provider.container import image_of
from docker_kernel_provider.engine import Engine
from docker_kernel_provider.errors import EngineRefusalError, EngineUnreachableError
from docker_kernel_provider.image import Image
from docker_kernel_provider.kept import MEMORY, KeptFiles
from docker_kernel_provider.labels import labels_of
from docker_kernel_provider.output import last_output
from docker_kernel_provider.owners import Owners
from docker_kernel_provider.ports import inside_ports
from docker_kernel_provider.status import GONE, UNREACHABLE, explain_refusal
from docker_kernel_provider.swarm.route import SwarmWays
from docker_kernel_provider.swarm.service import Secret, resource_of_service, service_of
from docker_kernel_provider.swarm.tasks import Tasks
from docker_kernel_provider.undoing import Undoing
from docker_kernel_provider.watch import Watch
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError, LaunchError, RemoteKernelError
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

NO_SWARM = 503
"""HTTP status of an engine that manages no Swarm."""
FIRST_LOOK, LONGEST_LOOK = 0.1, 1.0
"""Seconds between two looks at a task that is being started; each pause is longer than the one before."""
LOOK_ELSEWHERE = 5.0
"""Seconds between two looks at a task that runs on another node."""
END_DEADLINE = 30.0
"""Seconds that a node has to remove a task."""


class SwarmLifecycleManager(LifecycleManager):
    """Runs kernels as services of a Docker Swarm, each with its connection file in a secret.

    Secrets cannot be read back, so what must survive the host is kept in this user's data folder, sealed.

    Parameters
    ----------
    settings
        The operator's.
    identity
        This user's host identity.
    """

    name: ClassVar[str] = "docker-swarm"

    def __init__(self, settings: RemoteKernelSettings, identity: HostIdentity) -> None:
        super().__init__(settings, identity)
        self._engine = Engine(settings.docker_host)
        self._tasks = Tasks(self._engine)
        self._undoing = Undoing(self.delete)
        self._watch = Watch(self._engine, self._tasks, self._undoing.on_back)
        self._ways = SwarmWays(self._engine, settings)
        self._seal = MemorySeal(identity)
        self._kept = KeptFiles(identity.folder / self.name / "kernels")
        self._owners = Owners(self.name, self._engine, identity, self._kept, _list)
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose ports inside the task's container, which has all of them to itself."""
        return inside_ports(count, port_range, preferred)

    async def response_host(self) -> str:
        """Return the address of this host that tasks reach."""
        return await self._ways.host_ip()

    async def create(self, request: KernelRequest) -> KernelResource:
        """Create the kernel's secret and its service; the Swarm starts it in the background."""
        resource = resource_of_service(self.name, request, time.time())
        try:
            await self._watch.open()
            self._watch.tell(resource.id, KernelStatus(Phase.PENDING))
            creating = asyncio.ensure_future(self._create(request, resource))
            if await settled(creating):
                _ = creating.cancelled() or creating.exception()  # looked at, so that nobody complains about it
                raise asyncio.CancelledError
            creating.result()
        except BaseException as error:  # a cancellation included: whoever cancels knows of no kernel yet
            await self._undoing.undo(resource)
            if isinstance(error, (EngineRefusalError, EngineUnreachableError)):
                raise self._explained(request, error) from None
            raise
        self._starting[resource.id] = asyncio.get_running_loop().create_task(self._until_started(resource.id))
        return resource

    async def _create(self, request: KernelRequest, resource: KernelResource) -> None:
        published = await self._ways.published(request)
        image = await self._engine.run(_image, image_of(request))

        def make(client: APIClient) -> str:
            secret = None
            if request.memory is not None:
                content = json.dumps(request.memory.connection.to_json())
                secret = Secret(client.create_secret(resource.id, content, labels_of(resource))["ID"], resource.id)
            client.reload_config()  # its registry's account goes with the service: somebody may have logged in since
            service = service_of(request, resource, self._settings, image, secret, published)
            return str(client.create_service(**service)["ID"])

        service_id = await self._engine.run(make)
        if request.memory is not None:
            await self._keep(resource, service_id, request.memory)

    def _explained(self, request: KernelRequest, error: RemoteKernelError) -> LaunchError:
        if isinstance(error, EngineRefusalError) and error.status == NO_SWARM:
            message = (
                "the engine manages no Swarm; make it one with 'docker swarm init', or name a manager in docker_host"
            )
            status = KernelStatus(Phase.FAILED, reason="NoSwarm", message=message)
        elif isinstance(error, EngineRefusalError):
            status = explain_refusal(error.explanation)
        else:
            status = KernelStatus(Phase.FAILED, reason=UNREACHABLE, message=str(error))
        return LaunchError(f"kernel '{request.parameters.kernel_name}': {status.message}", status=status)

    async def _until_started(self, name: str) -> None:
        """Look at a task until it runs or never will: no event tells what the Swarm does with it before."""
        pause = FIRST_LOOK
        status = KernelStatus(Phase.PENDING)
        while status.phase.waiting or status.phase is Phase.STARTING:
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_LOOK)
            with suppress(EngineUnreachableError):  # told by the watch
                try:
                    status = await self._tasks.status(name)
                except EngineRefusalError as error:
                    status = GONE if error.not_found else explain_refusal(error.explanation)
                self._watch.tell(name, status)

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the Swarm."""
        try:
            return await self._tasks.status(resource.id)
        except EngineRefusalError as error:
            if error.not_found:
                return GONE
            raise

    async def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield the present status, then each change."""
        async for status in self._watch.follow(resource.id):
            if self._tasks.elsewhere and self._looking is None:
                self._looking = asyncio.get_running_loop().create_task(self._look_elsewhere())
            yield status

    async def _look_elsewhere(self) -> None:
        """Look at the tasks on other nodes, of whose end no event tells."""
        while self._tasks.elsewhere:
            await asyncio.sleep(LOOK_ELSEWHERE)
            for name in list(self._tasks.elsewhere):
                if not await self._watch.look(name):
                    self._tasks.elsewhere.discard(name)
        self._looking = None

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel, by the init process of its container; a Swarm itself sends none."""
        try:
            seen = await self._tasks.see(resource.id)
            if seen.is_elsewhere:
                raise RemoteKernelError(
                    f"kernel {resource.kernel_id} runs on another node of the Swarm, which sends no signals; give its "
                    'spec "interrupt_mode": "message"'
                )
            if seen.container is None:
                raise KernelGoneError(f"kernel {resource.kernel_id} does not run; it takes no signals")
            container = seen.container["Id"]
            await self._engine.run(lambda client: client.kill(container, signum))
        except EngineRefusalError as error:
            if error.not_found or error.conflict:
                raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None
            raise

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """Remove the kernel's service and its secret; where the engine is away, as soon as it is back."""
        starting = self._starting.pop(resource.id, None)
        if starting is not None:
            await end_task(starting)
        self._tasks.elsewhere.discard(resource.id)
        try:
            await self._engine.run(_remove, resource.id, math.ceil(grace))
        except EngineUnreachableError:
            self._undoing.note(resource)
            raise
        await self._ways.give_up(resource)
        self._kept.forget(resource.id)
        self._watch.forget(resource.id)

    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last lines that the task wrote; nothing where the engine is away."""
        return await last_output(self._engine, lambda client: _logs(client, resource.id, tail))

    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the services, and the secrets that have none, with the labels of these owners."""
        try:
            return await self._owners.find(selector)
        except EngineRefusalError as error:
            if error.status == NO_SWARM:
                return []
            raise

    async def place(self, resource: KernelResource) -> str:
        """Name the service."""
        return f"service {resource.id}"

    async def belongings(self, resource: KernelResource) -> list[Leftover]:
        """Name the service, its secret, and what is kept beside them."""
        found = [Leftover(kind, resource.id) for kind in await self._engine.run(_kinds, resource.id)]
        return [*found, *(Leftover("file", str(file)) for file in self._kept.files(resource.id))]

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the container's address, or the ports at which its node publishes them."""
        try:
            seen = await self._tasks.see(resource.id)
        except EngineRefusalError as error:
            if error.not_found:
                raise KernelGoneError(f"kernel {resource.kernel_id} has no service any more") from None
            raise
        if seen.status.phase.ended:
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended: {seen.status.sentence()}")
        return await self._ways.route(resource, seen, ports)

    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Keep the memory in this user's data folder."""
        service_id = await self._service_id(resource)
        await self._keep(resource, service_id, memory)

    async def _keep(self, resource: KernelResource, service_id: str, memory: KernelMemory) -> None:
        engine = (await self._engine.facts()).id
        sealed = self._seal.seal(service_id, memory)
        await asyncio.to_thread(self._kept.write, engine, resource.id, MEMORY, sealed)

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read the memory, if it was written for this very service."""
        service_id = await self._service_id(resource)
        engine = (await self._engine.facts()).id
        content = await asyncio.to_thread(self._kept.read, engine, resource.id, MEMORY)
        return self._seal.open(resource, service_id, content)

    async def reassign(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Note the new owner beside this user's host identity."""
        await self._service_id(resource)
        return await self._owners.note(resource, owner)

    async def _service_id(self, resource: KernelResource) -> str:
        try:
            service: Mapping[str, Any] = await self._engine.run(lambda client: client.inspect_service(resource.id))
        except EngineRefusalError as error:
            if error.not_found:
                raise KernelGoneError(f"kernel {resource.kernel_id} has no service any more") from None
            raise
        return str(service["ID"])

    async def describe(self) -> str:
        """Say which Swarm it is, and how its kernels are reached."""
        return await self._ways.describe()

    async def close(self) -> None:
        """Release the client, its threads and the watch; services stay."""
        looking = [self._looking] if self._looking else []
        for task in (*self._starting.values(), *looking):
            await end_task(task)
        await self._undoing.close()
        self._looking = None
        await self._watch.close()
        await self._engine.close()


def _image(client: APIClient, name: str) -> Image | None:
    """Look at an image, where this engine has it."""
    from docker.errors import NotFound

    try:
        return Image.of(client.inspect_image(name))
    except NotFound:
        return None


def _list(client: APIClient, labels: list[str]) -> dict[str, Mapping[str, str]]:
    """Return the labels of the secrets and the services, by their names."""
    filters = {"label": labels}
    found = [*client.secrets(filters=filters), *client.services(filters=filters)]
    return {each["Spec"]["Name"]: each["Spec"]["Labels"] for each in found}


def _kinds(client: APIClient, name: str) -> list[str]:
    """Return of what kinds there are objects of a kernel; all have its name."""
    listed = {"service": client.services(filters={"name": name}), "secret": client.secrets(filters={"name": name})}
    return [kind for kind, found in listed.items() if any(each["Spec"]["Name"] == name for each in found)]


def _logs(client: APIClient, name: str, tail: int) -> bytes:
    pieces = client.service_logs(name, stdout=True, stderr=True, tail=tail)
    return b"".join(pieces)


def _remove(client: APIClient, name: str, grace: int) -> None:
    """Remove a service and its secret, and wait until its tasks are gone."""
    from docker.errors import NotFound

    own = {"label": [f"com.docker.swarm.service.name={name}"]}
    for container in client.containers(filters=own):
        with suppress(NotFound):
            client.stop(container["Id"], timeout=grace)
    with suppress(NotFound):
        client.remove_service(name)
    for secret in client.secrets(filters={"name": name}):
        if secret["Spec"]["Name"] == name:
            with suppress(NotFound):
                client.remove_secret(secret["ID"])
    deadline = time.monotonic() + END_DEADLINE
    while time.monotonic() < deadline and (
        # By their names, because the service that they were of is gone.
        client.tasks(filters={"name": name}) or client.containers(all=True, filters=own)
    ):
        time.sleep(0.05)
