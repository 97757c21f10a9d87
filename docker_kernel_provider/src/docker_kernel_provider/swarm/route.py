"""How this host reaches kernels in a Swarm: at their containers' addresses, or at ports that their nodes publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from docker_kernel_provider.container import networks_of
from docker_kernel_provider.engine import Engine
from docker_kernel_provider.errors import EngineRefusalError
from docker_kernel_provider.route import LOOPBACK, Way, Ways, route_of
from docker_kernel_provider.swarm.tasks import Seen
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import ConfigurationError, LaunchError
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource, KernelStatus, Phase

if TYPE_CHECKING:
    from docker import APIClient


@dataclass(frozen=True)
class Swarm:
    """A Swarm as its manager sees it.

    Parameters
    ----------
    own_address
        The manager's in it; empty where it is alone.
    addresses
        Of all its nodes, by their ids.
    """

    own_address: str
    addresses: Mapping[str, str]


class SwarmWays:
    """Finds the ways to the kernels of a Swarm.

    Parameters
    ----------
    engine, settings
        A manager's, and the operator's word.
    """

    def __init__(self, engine: Engine, settings: RemoteKernelSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._ways = Ways(engine, settings)

    async def published(self, request: KernelRequest) -> Sequence[int]:
        """Return the ports that have to be published.

        Raises
        ------
        LaunchError
            When they have to be, and nobody knows them yet.
        """
        swarm = await self._swarm()
        way = await self._way(networks_of(request.parameters.config, self._settings)[0], swarm)
        if not way.publish_ip:
            return ()
        if request.memory is None:
            message = (
                "kernels of the reported handshake need their container's address, which this host cannot reach "
                f"({way.reason}); use a spec with {{connection_file}} in its argv"
            )
            status = KernelStatus(Phase.FAILED, reason="NoRoute", message=message)
            raise LaunchError(f"kernel '{request.parameters.kernel_name}': {message}", status=status)
        return request.memory.connection.ports

    async def route(self, resource: KernelResource, seen: Seen, ports: Sequence[int]) -> Route:
        """Return where this host reaches ports of a task.

        Raises
        ------
        LaunchError
            When it does not.
        """
        if seen.container is not None:
            route = route_of(seen.container, ports)
            if route is not None and route.ip == "0.0.0.0":  # published on all addresses of this engine's machine
                facts = await self._engine.facts()
                machine = LOOPBACK if facts.location.is_by_ssh else facts.location.machine or LOOPBACK
                route = replace(route, ip=self._settings.docker_publish_ip or machine)
        else:
            route = await self._route_elsewhere(seen, ports)
        if route is None:
            raise LaunchError(f"the task of kernel {resource.kernel_id} has no address that this host reaches")
        return await self._ways.near(resource.id, route)

    async def give_up(self, resource: KernelResource) -> None:
        """Lead to a kernel no longer."""
        await self._ways.give_up(resource.id)

    async def _route_elsewhere(self, seen: Seen, ports: Sequence[int]) -> Route | None:
        task = seen.task or {}
        said = task.get("Status", {}).get("PortStatus", {}).get("Ports") or ()
        if {port["TargetPort"] for port in said}.issuperset(ports):
            address = (await self._swarm()).addresses.get(str(task.get("NodeID")), "")
            published = published_at(address, said)
            return Route(address, tuple(published[port] for port in ports)) if address else None
        for attachment in task.get("NetworksAttachments") or ():
            for address in attachment.get("Addresses") or ():
                return Route(str(address).partition("/")[0], tuple(ports))
        return None

    async def host_ip(self) -> str:
        """Return the address of this host that tasks reach.

        Raises
        ------
        ConfigurationError
            When it is not known.
        """
        way = await self._way(networks_of({}, self._settings)[0], await self._swarm())
        if not way.host_ip:
            raise ConfigurationError(
                f"at which address kernels in the Swarm reach this host is not known ({way.reason}); set response_ip"
            )
        return way.host_ip

    async def describe(self) -> str:
        """Say which Swarm it is, and how its kernels are reached."""
        facts = await self._engine.facts()
        try:
            swarm = await self._swarm()
        except EngineRefusalError:
            return f"Docker {facts.version} at {facts.location.host} manages no Swarm, so it runs no kernels in one"
        way = await self._way(networks_of({}, self._settings)[0], swarm)
        how = "ports that their nodes publish" if way.publish_ip else "their containers' addresses"
        nodes = f"{len(swarm.addresses)} node{'s' if len(swarm.addresses) > 1 else ''}"
        return (
            f"Docker Swarm of {nodes}, managed at {facts.location.host} ({facts.location.source}); kernels are reached "
            f"at {how}, because {way.reason}"
        )

    async def _way(self, network: str, swarm: Swarm) -> Way:
        way = await self._ways.to(network)
        if not way.publish_ip and network == "bridge" and len(swarm.addresses) > 1:
            nodes = f"a kernel can be on any of the Swarm's {len(swarm.addresses)} nodes"
            return Way(LOOPBACK, swarm.own_address, nodes)
        return way

    async def _swarm(self) -> Swarm:
        return await self._engine.run(_look)


def _look(client: APIClient) -> Swarm:
    nodes: Sequence[Mapping[str, Any]] = client.nodes()
    own = str(client.info()["Swarm"]["NodeAddr"]) if len(nodes) > 1 else ""
    return Swarm(own, {node["ID"]: str(node["Status"].get("Addr", "")) for node in nodes})


def published_at(address: str, said: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return at which number each port of a task is reached at its node.

    Parameters
    ----------
    address
        The node's.
    said
        What the task's status says of its ports: of one that is published by IPv4 and by IPv6, IPv4's number first,
        and the two may differ.
    """
    last_counts = said if ":" in address else reversed(said)
    return {port["TargetPort"]: port["PublishedPort"] for port in last_counts}
