"""`ContainerStart`: one launch's way from a request to a running container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from docker_kernel_provider.archive import CONNECTION_FILE, PRIVATE_FOLDER, Entry, memory_entries, pack
from docker_kernel_provider.container import Ports, container_of, image_of, networks_of
from docker_kernel_provider.engine import Engine
from docker_kernel_provider.errors import EngineRefusalError
from docker_kernel_provider.image import Image, RunAs, Wanted
from docker_kernel_provider.labels import labels_of
from docker_kernel_provider.pull import Pull, begun
from docker_kernel_provider.route import LOOPBACK, Way, Ways
from docker_kernel_provider.status import explain_refusal
from docker_kernel_provider.users import KnownUsers
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource, KernelStatus, Phase
from remote_kernel_provider.sealing import MemorySeal

if TYPE_CHECKING:
    from docker import APIClient


@dataclass(frozen=True)
class Launcher:
    """What the launches of one lifecycle manager share.

    Parameters
    ----------
    engine, settings, ways, seal, users
        See the classes.
    """

    engine: Engine
    settings: RemoteKernelSettings
    ways: Ways
    seal: MemorySeal
    users: KnownUsers


class ContainerStart:
    """One launch.

    Parameters
    ----------
    launcher, request, resource
        With what, what, and by which handle.
    report
        Called with each status; from any thread.
    """

    def __init__(
        self,
        launcher: Launcher,
        request: KernelRequest,
        resource: KernelResource,
        report: Callable[[KernelStatus], None],
    ) -> None:
        self._with = launcher
        self._request = request
        self._resource = resource
        self._report = report
        self._config = request.parameters.config
        self._image_name = image_of(request)
        self._platform = str(self._config.get("platform", ""))
        self._policy = str(self._config.get("pull_policy", "IfNotPresent"))

    @property
    def pulling(self) -> KernelStatus:
        """Its status before the first news of a pull."""
        return KernelStatus(Phase.PULLING, message=begun(self._image_name))

    async def image(self) -> Image | None:
        """Return the image if it is there and needs no pull.

        Raises
        ------
        LaunchError
            When it is not there and must not be pulled.
        """
        if self._policy == "Always":
            return None
        found = await self._find_image()
        if found is None and self._policy == "Never":
            message = (
                f"the image '{self._image_name}' is not on the engine, and pull_policy is Never; pull it there, "
                "correct image_name, or choose IfNotPresent"
            )
            raise self._error(KernelStatus(Phase.FAILED, reason="ImageNotFound", message=message))
        return found

    async def pull(self) -> Image:
        """Pull the image and return it; a cancellation ends the pull."""
        pull = Pull(self._image_name, self._platform, self._report)
        try:
            await self._with.engine.run_long(pull.run)
        except asyncio.CancelledError:
            # Its thread ends when the registry has said its first word; nothing of the kernel's depends on that.
            pull.cancel()
            raise
        except EngineRefusalError as error:
            status = explain_refusal(error.explanation)
            message = f"the image '{self._image_name}' cannot be pulled: {status.message}"
            raise self._error(replace(status, message=message)) from None
        image = await self._find_image()
        if image is None:
            message = f"the image '{self._image_name}' was pulled and is not there; was it removed?"
            raise self._error(KernelStatus(Phase.FAILED, reason="ImageNotFound", message=message))
        return image

    async def start(self, image: Image) -> Mapping[str, Any]:
        """Create the container, put the files into it, start it; return what the engine says of it.

        Raises
        ------
        LaunchError
            With the engine's reason. The container can be there; whoever called deletes it.
        """
        self._report(KernelStatus(Phase.STARTING))
        way = await self._with.ways.to(networks_of(self._config, self._with.settings)[0])
        ports = self._ports(way)
        try:
            user = await self._user(image)
            try:
                return await self._created(image, user, ports)
            except EngineRefusalError as error:
                if not (ports.published and explain_refusal(error.explanation).reason == "PortTaken"):
                    raise
            # The ports of the kernel that this one replaces are taken by now: its clients have to connect anew.
            lower, upper = self._config["port_range"]
            any_port = dict.fromkeys(ports.published, f"{lower}-{upper}" if upper else "")
            await self._with.engine.run(_remove_as_another, self._resource.id)
            return await self._created(image, user, replace(ports, published=any_port))
        except EngineRefusalError as error:
            named = {"Path": next(iter(self._request.command()), ""), "Config": {"Image": self._image_name}}
            raise self._error(explain_refusal(error.explanation, named)) from None

    async def _created(self, image: Image, user: RunAs, ports: Ports) -> Mapping[str, Any]:
        body = container_of(self._request, self._resource, self._with.settings, user, image.environment, ports)

        def start(client: APIClient) -> Mapping[str, Any]:
            created: str = client.create_container_from_config(body, self._resource.id, self._platform)["Id"]
            files = self._files(created, user)
            if files:
                client.put_archive(created, "/", pack(files))
            for network in networks_of(self._config, self._with.settings)[1:]:
                client.connect_container_to_network(created, network)
            client.start(created)
            inspected: Mapping[str, Any] = client.inspect_container(created)
            return inspected

        return await self._with.engine.run(start)

    def _files(self, container: str, user: RunAs) -> list[Entry]:
        """Return what the kernel needs before it starts."""
        entries = [Entry(user.home, 0o700, user.uid, user.gid)] if user.home else []
        if self._request.memory is not None:
            connection = self._request.memory.connection
            if networks_of(self._config, self._with.settings)[0] == "host":
                connection = replace(connection, ip=LOOPBACK)
            content = json.dumps(connection.to_json()).encode()
            entries += [
                *memory_entries(self._with.seal.seal(container, self._request.memory)),
                Entry(PRIVATE_FOLDER, 0o700, user.uid, user.gid),
                Entry(CONNECTION_FILE, 0o600, user.uid, user.gid, content),
            ]
        return entries

    async def _find_image(self) -> Image | None:
        name = self._image_name
        try:
            return Image.of(await self._with.engine.run(lambda client: client.inspect_image(name)))
        except EngineRefusalError as error:
            if error.not_found:
                return None
            raise

    async def _user(self, image: Image) -> RunAs:
        settings, prohibited = self._with.settings, self._request.spec.config
        uid = self._config.get("uid")
        wanted = Wanted(
            uid=None if uid == "image" else uid,
            gid=self._config.get("gid"),
            prohibited_uids=frozenset((*settings.prohibited_uids, *prohibited.get("prohibited_uids", ()))),
            prohibited_gids=frozenset((*settings.prohibited_gids, *prohibited.get("prohibited_gids", ()))),
        )
        known = self._with.users.get(image, wanted)
        if known is None:
            look = {"Image": image.id, "Cmd": ["-"], "Labels": labels_of(self._resource)}
            name = f"{self._resource.id}-look"
            known = await self._with.engine.run(self._with.users.find_out, image, wanted, look, name)
        return known

    def _ports(self, way: Way) -> Ports:
        if not way.publish_ip:
            return Ports()
        if self._request.memory is None:
            message = (
                "kernels of the reported handshake need their container's address, which this host cannot reach "
                f"({way.reason}); use a spec with {{connection_file}} in its argv"
            )
            raise self._error(KernelStatus(Phase.FAILED, reason="NoRoute", message=message))
        return Ports(way.publish_ip, {port: str(port) for port in self._request.memory.connection.ports})

    def _error(self, status: KernelStatus) -> LaunchError:
        return LaunchError(f"kernel '{self._request.parameters.kernel_name}': {status.message}", status=status)


def _remove_as_another(client: APIClient, name: str) -> None:
    """Remove a container so that nobody who follows this name is told of it."""
    another = f"{name}-again"
    client.rename(name, another)
    client.remove_container(another, force=True, v=True)
