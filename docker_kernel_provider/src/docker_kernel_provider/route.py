"""How this host reaches its kernels: at their containers' addresses, or at published ports, perhaps through ssh."""

from __future__ import annotations

import ipaddress
import platform
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from docker_kernel_provider.engine import Engine, EngineFacts
from docker_kernel_provider.errors import EngineRefusalError
from docker_kernel_provider.status import address_of
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
UNSPECIFIED = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Way:
    """How kernels of one network are reached.

    Parameters
    ----------
    publish_ip
        Address of the engine's machine on which their ports are published; empty = they are not.
    host_ip
        Address of this host at which they reach it; empty = not known.
    reason
        Why, in words.
    """

    publish_ip: str
    host_ip: str
    reason: str


class Ways:
    """Finds the ways to the engine's networks, and remembers them.

    Parameters
    ----------
    engine, settings
        Whose networks, and the operator's word.
    """

    def __init__(self, engine: Engine, settings: RemoteKernelSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._known: dict[str, Way] = {}

    async def to(self, network: str) -> Way:
        """Return how kernels of a network are reached."""
        if network not in self._known:
            facts = await self._engine.facts()
            subnets: Sequence[str] = ()
            with suppress(EngineRefusalError):  # no such network: the launch will say so
                subnets = _subnets(await self._engine.run(lambda client: client.inspect_network(network)))
            self._known[network] = way_to(facts, network, subnets, self._settings)
        return self._known[network]

    async def near(self, kernel: str, route: Route) -> Route:
        """Return where this host reaches a kernel, which the engine's machine reaches at a route.

        Raises
        ------
        RemoteKernelError
            When ssh, which has to lead there, refuses it.
        """
        tunnel = self._engine.tunnel
        # Where the operator names an address, this host reaches it.
        if tunnel is None or self._settings.docker_publish_ip:
            return route
        return await tunnel.forward(kernel, route)

    async def give_up(self, kernel: str) -> None:
        """Lead to a kernel no longer."""
        if self._engine.tunnel is not None:
            await self._engine.tunnel.give_up(kernel)


def way_to(facts: EngineFacts, network: str, subnets: Sequence[str], settings: RemoteKernelSettings) -> Way:
    """Choose the way to kernels of a network.

    Parameters
    ----------
    facts
        Of the engine.
    network, subnets
        The network, and its addresses.
    settings
        The operator's word.

    Raises
    ------
    ConfigurationError
        When they name an address that is none, or an engine whose machine has none.
    """
    by_ssh = facts.location.is_by_ssh and not settings.docker_publish_ip
    machine = "" if by_ssh else facts.location.machine
    if settings.docker_publish_ip in UNSPECIFIED:
        raise ConfigurationError(
            f"docker_publish_ip is {settings.docker_publish_ip}, at which nobody can be reached; set it to the address "
            "of the engine's machine at which this host reaches it"
        )
    own = "" if by_ssh else next(filter(None, map(_own_address, subnets)), "")
    if network == "host" and not machine and not by_ssh:
        return Way("", LOOPBACK, "they share the network of this machine")
    if settings.docker_route == "address":
        return Way("", own or _own_address_towards(machine), "the setting docker_route says so")
    publish_ip = settings.docker_publish_ip or (_resolve(machine) if machine else LOOPBACK)
    host_ip = _own_address_towards(machine) if machine else ""
    if settings.docker_route == "published":
        return Way(publish_ip, own or host_ip, "the setting docker_route says so")
    if by_ssh:
        return Way(publish_ip, host_ip, "ssh leads to the engine, and to ports of its machine")
    if machine:
        return Way(publish_ip, host_ip, f"the engine is on another machine, {machine}")
    if facts.location.socket is None:
        return Way(publish_ip, host_ip, "the engine is not reached by a socket, so its networks may be elsewhere")
    if facts.kernel != platform.release():
        here = f"the engine runs on the kernel {facts.kernel} and this host on {platform.release()}"
        return Way(publish_ip, host_ip, f"{here}: its containers are in a virtual machine")
    if facts.rootless:
        return Way(publish_ip, host_ip, "the engine runs without root, in a network of its own")
    if not own:
        return Way(publish_ip, host_ip, f"this host has no address in the network '{network}'")
    return Way("", own, f"this host has the address {own} in the network '{network}'")


def _subnets(network: Mapping[str, Any]) -> list[str]:
    configs = (network.get("IPAM") or {}).get("Config") or ()
    return [str(config["Subnet"]) for config in configs if config.get("Subnet")]


def _own_address(subnet: str) -> str:
    """Return the address that this host has in a network; empty = none."""
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError:  # IPv6: the wire knows IPv4 only
        return ""
    # The kernel names the address that it would send from; nothing is sent.
    address = _source_address(str(network.network_address + 1))
    return address if address and ipaddress.IPv4Address(address) in network else ""


def _own_address_towards(machine: str) -> str:
    return _source_address(machine) if machine else ""


def _source_address(target: str) -> str:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target, 9))
        return str(probe.getsockname()[0])
    return ""


def _resolve(machine: str) -> str:
    try:
        return socket.gethostbyname(machine)
    except OSError:
        raise ConfigurationError(
            f"the engine's machine '{machine}' has no address that this host finds; set docker_publish_ip to the "
            "address at which this host reaches it"
        ) from None


def route_of(container: Mapping[str, Any], ports: Sequence[int]) -> Route | None:
    """Return where this host reaches ports of a container that was inspected; None = nowhere yet."""
    bindings: Mapping[str, Any] = container.get("NetworkSettings", {}).get("Ports") or {}
    published = [bindings.get(f"{port}/tcp") for port in ports]
    if all(published):
        first = [binding[0] for binding in published if binding]
        return Route(str(first[0]["HostIp"]), tuple(int(binding["HostPort"]) for binding in first))
    if container.get("HostConfig", {}).get("NetworkMode") == "host":
        return Route(LOOPBACK, tuple(ports))
    address = address_of(container)
    return Route(address, tuple(ports)) if address else None
