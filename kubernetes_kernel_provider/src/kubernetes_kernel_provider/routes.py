"""How this host reaches the ports of its pods: at their addresses, or through the API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.port_forward import PortForward
from kubernetes_kernel_provider.permissions import FORWARDING, Permissions
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.private_loop import end_task, within

PROBE_TIMEOUT = 1.0
"""Seconds in which a pod that can be reached answers, if only that nobody listens yet."""

PROOF = 5.0
"""Seconds in which the address of a pod that runs has to stay silent before no other pod's is tried."""

HURRIED = 0.2
"""Seconds for which others are tried meanwhile: a restarted host takes over many kernels."""

AUTO, DIRECT, PORT_FORWARD = "auto", "direct", "port-forward"

_WAYS = {
    AUTO: "directly or by port-forward",
    DIRECT: "at their pods' addresses",
    PORT_FORWARD: "by port-forward through the API server",
}


class Routes:
    """Chooses the pods' routes, and keeps the forwarded ports.

    Each pod's own address is tried until one kernel has proven what is so: a kernel that answered at its pod's address,
    or one that runs at an address that stays silent. A single try proves nothing: a busy node is slow, too.

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
        self._proven = "" if wanted == AUTO else wanted
        self._forwards: dict[str, PortForward] = {}
        self._proving: asyncio.Task[None] | None = None

    def describe(self) -> str:
        """Say how pods are reached, for `doctor`."""
        why = f"kubernetes_route is '{self._wanted}'"
        if self._wanted == AUTO and self._proven:
            why = "a kernel answered there" if self._proven == DIRECT else "the address of a kernel's pod stayed silent"
        return f"{_WAYS[self._proven or AUTO]} ({why})"

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
        # Kernels listen on IPv4 alone; the node forwards to the pod's loopback, where both are.
        has_own = ":" not in address
        if has_own and await self._is_direct(address, ports[0]):
            return Route(address, tuple(ports))
        # A refused WebSocket would only look like a kernel that does not answer. Asked once in each namespace.
        await self._permissions.require(namespace, [FORWARDING])
        await self.give_up(uid)
        forward = self._forwards[uid] = PortForward(self._client, pod)
        route = Route(await forward.open(ports), tuple(ports), "ipc")
        if has_own and not self._proven and not self._is_proving:
            self._proving = asyncio.get_running_loop().create_task(self._prove(uid, address, ports[0]))
        return route

    async def _is_direct(self, address: str, port: int) -> bool:
        if self._proven:
            return self._proven == DIRECT
        return await answers(address, port, HURRIED if self._is_proving else PROBE_TIMEOUT)

    @property
    def _is_proving(self) -> bool:
        return self._proving is not None and not self._proving.done()

    def answered(self, uid: str) -> None:
        """Note that the kernel of a pod has answered where its route led."""
        if not self._proven and uid not in self._forwards:
            self._proven = DIRECT

    async def _prove(self, uid: str, address: str, port: int) -> None:
        """Find out whether the address of a pod whose ports are forwarded stays silent."""
        deadline = time.monotonic() + PROOF
        while (left := deadline - time.monotonic()) > 0:
            if await answers(address, port, left):
                return
            await asyncio.sleep(min(left, PROBE_TIMEOUT))  # it may have been refused by a network on the way
        if not self._proven and uid in self._forwards:  # else the pod has gone, and is silent for that
            self._proven = PORT_FORWARD

    async def give_up(self, uid: str) -> None:
        """Forward the ports of a pod no longer."""
        forward = self._forwards.pop(uid, None)
        if forward is not None:
            await forward.close()

    async def close(self) -> None:
        """Forward nothing any more."""
        if self._proving is not None:
            await end_task(self._proving)
        for uid in list(self._forwards):
            await self.give_up(uid)


async def answers(address: str, port: int, seconds: float) -> bool:
    """Whether anything at an address answers in time, be it that the port is closed."""
    try:
        _, writer = await within(seconds, asyncio.open_connection(address, port))
    except ConnectionRefusedError:
        return True
    except (asyncio.TimeoutError, OSError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
