"""How this host reaches the ports of its pods: at their addresses, or through the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.port_forward import PortForward
from kubernetes_kernel_provider.permissions import FORWARDING, Permissions
from remote_kernel_provider.connection.info import Route

PROBE_TIMEOUT = 1.0
"""Seconds in which a pod that can be reached answers, if only that nobody listens yet."""

DIRECT, PORT_FORWARD = "direct", "port-forward"


class Routes:
    """Chooses a route once, and keeps the forwarded ports of the pods.

    Parameters
    ----------
    client, permissions
        Of the cluster.
    wanted
        `auto`, `direct` or `port-forward`.
    """

    def __init__(self, client: ClusterClient, permissions: Permissions, wanted: str) -> None:
        self._client = client
        self._permissions = permissions
        self._wanted = wanted
        self._chosen = "" if wanted == "auto" else wanted
        self._forwards: dict[str, PortForward] = {}

    def describe(self) -> str:
        """Say how pods are reached, for `doctor`."""
        why = "chosen with the first pod" if self._wanted == "auto" else f"kubernetes_route is '{self._wanted}'"
        ways = {DIRECT: "at their pods' addresses", PORT_FORWARD: "by port-forward through the API server"}
        return f"{ways.get(self._chosen, 'directly or by port-forward')} ({why})"

    async def route(self, uid: str, namespace: str, pod: str, address: str, ports: Sequence[int]) -> Route:
        """Return where the ports of a pod are reached.

        Parameters
        ----------
        uid, namespace, pod
            Of the pod, and its path in the API.
        address
            Of the pod.
        ports
            Of the kernel in it.

        Raises
        ------
        ClusterError
            When ports have to be forwarded and this host may not; holds the rule to add.
        """
        if not self._chosen:
            self._chosen = DIRECT if await _answers(address, ports[0]) else PORT_FORWARD
        # Kernels listen on IPv4 alone; the node forwards to the pod's loopback, where both are.
        if self._chosen == DIRECT and ":" not in address:
            return Route(address, tuple(ports))
        # A refused WebSocket would only look like a kernel that does not answer. Asked once in each namespace.
        await self._permissions.require(namespace, [FORWARDING])
        await self.give_up(uid)
        forward = self._forwards[uid] = PortForward(self._client, pod)
        return Route(await forward.open(ports), tuple(ports), "ipc")

    async def give_up(self, uid: str) -> None:
        """Forward the ports of a pod no longer."""
        forward = self._forwards.pop(uid, None)
        if forward is not None:
            await forward.close()

    async def close(self) -> None:
        """Forward nothing any more."""
        for uid in list(self._forwards):
            await self.give_up(uid)


async def _answers(address: str, port: int) -> bool:
    """Whether anything at an address answers, be it that the port is closed."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), PROBE_TIMEOUT)
    except ConnectionRefusedError:
        return True
    except (asyncio.TimeoutError, OSError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
