"""Kernels in pods, against the official client alone and against gateway_provisioners, on the tests' own cluster.

The floor is in pod_floor.py. All sides run the same image.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kernels import Ours, connect, end_all, environment, processor_seconds, round_trips, time_and_end
from benchmarks.measuring import Row, alternate
from benchmarks.peer import ROOT, peer_host
from benchmarks.pod_floor import Floor
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.host import Host
from remote_kernel_provider.private_loop import PRIVATE_LOOP, within

if TYPE_CHECKING:
    from cluster.running import Cluster

CROWD = 16
IDLE_SECONDS = 60.0
SETTLED = 12.0
"""Seconds after a launch in which unused connections are closed, and the pod's last change comes."""


@dataclass
class Bench:
    """The tests' cluster, and a namespace of it for one benchmark.

    Parameters
    ----------
    cluster
        The cluster.
    namespace
        Its name; nothing is forbidden in it, as the pods of the floor and of the peer say nothing of their security.
    image
        That the cluster has: Debian's Python with ipykernel.
    """

    cluster: Cluster
    namespace: str
    image: str
    _hosts: list[Host] = field(default_factory=list)

    def ours(self, image: str = "", name: str = "measured", **options: Any) -> Ours:
        """Return our kernels, of a host of their own that reads this process's environment as it is now."""
        self._hosts.append(Host(load_settings()))
        return Ours(KubernetesKernelProvider(self._hosts[-1]), {"image_name": image or self.image}, name, **options)

    async def floor(self, stack: AsyncExitStack) -> Floor:
        """Return the floor, for as long as the stack lasts."""
        return await stack.enter_async_context(Floor.on(self.cluster.kubeconfig, self.namespace, self.image))

    async def close(self) -> None:
        """Close the hosts of our kernels."""
        for host in self._hosts:
            await PRIVATE_LOOP.call(host.close())


@asynccontextmanager
async def on_the_cluster() -> AsyncIterator[Bench]:
    """Have the tests' cluster, and remove everything that was made on it."""
    sys.path.append(str(ROOT / "tests"))
    from cluster import sharing
    from cluster.images import PYTHON_IMAGE

    with sharing.shared() as cluster, sharing.turn(alone=False):
        namespace = f"benchmark-{uuid.uuid4().hex[:8]}"
        os.environ |= {"KUBECONFIG": str(cluster.kubeconfig), "RKP_NAMESPACE": namespace}
        await asyncio.to_thread(cluster.kubectl, "create", "namespace", namespace)
        bench = Bench(cluster, namespace, PYTHON_IMAGE)
        try:
            ready = ("wait", "--for=create", "serviceaccount/default", "--timeout=30s", f"--namespace={namespace}")
            await asyncio.to_thread(cluster.kubectl, *ready)
            yield bench
        finally:
            await bench.close()
            await asyncio.to_thread(cluster.kubectl, "delete", "namespace", namespace, "--timeout=120s")


async def launch(folder: Path, rounds: int = 15) -> list[Row]:
    """From the call to the reply of a kernel_info request of one's own, on all sides.

    The peer's image is the one that the peer's tools make: its host needs its launcher in there, and ours needs none.
    """
    async with on_the_cluster() as bench, AsyncExitStack() as stack:
        floor = await bench.floor(stack)
        name = "kubernetes launch to kernel_info reply / client alone"
        rows = [
            await alternate(name, bench.ours().measure, lambda: time_and_end(floor.start, floor.stop), 1.10, rounds)
        ]
        image = await asyncio.to_thread(_peer_image, bench.cluster)
        peer = await stack.enter_async_context(
            peer_host(folder / "peer", "k8s_specapp", image, _peer_environment(bench.namespace))
        )
        in_peer_image = bench.ours(image, "measured-in-theirs")
        name = "kubernetes launch / gateway_provisioners"
        rows.append(await alternate(name, in_peer_image.measure, peer, 0.50, rounds))
        return rows


def _peer_image(cluster: Cluster) -> str:
    from cluster.loading import load_from_engine
    from docker import APIClient
    from engine.daemon import SharedDaemon
    from engine.peer_image import make_peer_image

    daemon = SharedDaemon()
    with daemon.in_use():
        client = APIClient(base_url=daemon.host, version="auto", timeout=600)
        image: str = make_peer_image(client)
        load_from_engine(cluster, client, image)
        client.close()
    return image


def _peer_environment(namespace: str) -> dict[str, str]:
    from cluster.configuration import GATEWAY

    return {"GP_RESPONSE_IP": GATEWAY, "GP_USE_INCLUSTER_CONFIG": "False", "GP_NAMESPACE": namespace}


async def execute(rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel, to its reply."""
    async with on_the_cluster() as bench, AsyncExitStack() as stack:
        floor = await bench.floor(stack)
        manager, other = await bench.ours().start(), await floor.start()
        name = "kubernetes execute round trip / client alone"
        row = await round_trips(name, manager.connection, other[1], rounds)
        await manager.kill()  # followed until then, which its host must not end before
        return [row]


async def forward(rounds: int = 400) -> list[Row]:
    """One `pass` over a ready kernel that is reached through the API server."""
    async with on_the_cluster() as bench, AsyncExitStack() as stack:
        floor = await bench.floor(stack)
        with environment(RKP_KUBERNETES_ROUTE="port-forward"):
            manager = await bench.ours().start()
        pod, connection = await floor.start()
        forwarded = await stack.enter_async_context(_kubectl_port_forward(bench, pod, connection))
        name = "kubernetes execute over port-forward / kubectl"
        row = await round_trips(name, manager.connection, forwarded, rounds)
        await manager.kill()  # the host's WebSockets end before its client does
        return [row]


@asynccontextmanager
async def _kubectl_port_forward(bench: Bench, pod: str, connection: ConnectionInfo) -> AsyncIterator[ConnectionInfo]:
    """Reach a pod by the cluster's own kubectl."""
    from cluster.building import Built

    process = await asyncio.create_subprocess_exec(
        str(Built().binary),
        "kubectl",
        f"--namespace={bench.namespace}",
        "port-forward",
        "--address=127.0.0.1",
        pod,
        *(f":{port}" for port in connection.ports),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        local: dict[int, int] = {}
        while len(local) < len(connection.ports):
            found = re.search(rb":(\d+) -> (\d+)", await within(30, process.stdout.readline()))
            assert found, "kubectl forwards nothing"
            local[int(found[2])] = int(found[1])
        shell, iopub, stdin, control, heartbeat = (local[port] for port in connection.ports)
        yield replace(connection, ip="127.0.0.1", ports=(shell, iopub, stdin, control, heartbeat))
    finally:
        process.terminate()
        await process.wait()


async def crowd(rounds: int = 5) -> list[Row]:
    """Sixteen launches at once, to the last reply."""
    async with on_the_cluster() as bench, AsyncExitStack() as stack:
        ours, floor = bench.ours(), await bench.floor(stack)

        async def mine() -> float:
            return await time_and_end(lambda: asyncio.gather(*(ours.start() for _ in range(CROWD))), end_all)

        async def theirs() -> float:
            async def end(kernels: list[tuple[str, ConnectionInfo]]) -> None:
                await asyncio.gather(*map(floor.stop, kernels))

            return await time_and_end(lambda: asyncio.gather(*(floor.start() for _ in range(CROWD))), end)

        return [await alternate(f"{CROWD} kubernetes launches at once / client alone", mine, theirs, 1.15, rounds)]


async def failure(rounds: int = 10) -> list[Row]:
    """From the exit of a command that fails to the error of its launch; the command prints when it exits."""
    command = ("python", "-c", "import os, time; os.write(1, repr(time.time()).encode()); os._exit(3)")
    seconds: list[float] = []
    async with on_the_cluster() as bench:
        ours = bench.ours(command=command)
        for _ in range(rounds):
            try:
                await ours.start()
            except LaunchError as error:
                seconds.append(time.time() - float(error.log_tail))
    assert len(seconds) == rounds
    name = "kubernetes: a failing command is reported after"
    return [Row(name, statistics.median(seconds), None, 1.5, rounds, unit="s")]


async def idle(folder: Path) -> list[Row]:
    """What a host asks of the API server, and computes, while sixteen kernels do nothing."""
    async with on_the_cluster() as bench:
        from cluster.relay import Relay

        relay = Relay.before(bench.cluster.kubeconfig, folder / "kubeconfig")
        with environment(KUBECONFIG=str(folder / "kubeconfig")):
            ours = bench.ours()
            kernels = await asyncio.gather(*(ours.start() for _ in range(CROWD)))
        await asyncio.sleep(SETTLED)
        sent, used = relay.sent, processor_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        percent = 100 * (processor_seconds() - used) / IDLE_SECONDS
        sent = relay.sent - sent
        await end_all(kernels)
        await bench.close()
        relay.close()
    name = f"{CROWD} kubernetes kernels idle for {IDLE_SECONDS:g} s"
    return [
        Row(f"{name}: the host's processor", percent, None, 0.5, 1),
        Row(f"{name}: bytes to the API server", float(sent), None, 0, 1, unit="B"),
    ]


async def memory(kernels: int = 16, clients: int = 10) -> list[Row]:
    """What a further kernel takes of its host's memory, and over port-forward each of its clients."""
    async with on_the_cluster() as bench:
        async with _growing_host(bench.image, "direct") as host:
            for _ in range(4):
                _, first = await host("launch")
            for _ in range(kernels):
                _, last = await host("launch")
            direct = (last - first) / kernels / 1000
        async with _growing_host(bench.image, "port-forward") as host:
            connection, _ = await host("launch")
            connected = [await connect(connection)]
            _, first = await host("look")
            connected += [await connect(connection) for _ in range(clients)]
            _, last = await host("look")
            forwarded = (last - first) / clients / 1000
            for client in connected:
                client.stop_channels()
    return [
        Row("kubernetes: the host's memory per further kernel", direct, None, 200, kernels, unit="kB"),
        Row("kubernetes: per further client over port-forward", forwarded, None, 1500, clients, unit="kB"),
    ]


@asynccontextmanager
async def _growing_host(image: str, route: str) -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.growing_host", image, route),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def ask(what: str) -> tuple[Any, int]:
        stdin.write(f"{what}\n".encode())
        told = json.loads(await within(120, stdout.readline()))
        return told["connection"] and ConnectionInfo.from_json(told["connection"]), int(told["memory"])

    try:
        yield ask
    finally:
        stdin.close()
        await process.wait()
