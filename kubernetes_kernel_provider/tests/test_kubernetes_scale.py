"""Many kernels of one host, and many clients of one kernel."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cluster.fixtures import FOREIGN, ClusterUnderTest, Namespace
from cluster.phantoms import NEVER_PLACED, Phantoms, let_run

from kubernetes_kernel_provider import following
from kubernetes_kernel_provider.client.api import ClusterClient
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import end_task
from remote_kernel_provider.sweep import sweep_dead
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

KERNELS = 120
"""More than the hundred connections that a pool has by default."""
CLIENTS = 105
PLACED_NOWHERE = NEVER_PLACED.replace("schedulerName: nobody", "nodeName: nowhere")
"""Its pods are on a node that there is not, and so are never started."""


def test_many_kernels_are_listed_watched_and_swept(
    cluster: ClusterUnderTest, in_namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind.lower()))
    host = Host(load_settings())
    phantoms = Phantoms(host, tmp_path / "kernels", cluster.kubeconfig, in_namespace.name)
    asyncio.run(phantoms.make(KERNELS))
    lifecycle, all_of_host = host.lifecycle(KUBERNETES), OwnerSelector(host_id=host.identity.host_id)
    assert {found.id for found in run(lifecycle.find(all_of_host))} == {each.id for each in phantoms.resources}

    async def told_of_changes() -> None:
        """Return when each of them was told to have run at two addresses."""

        async def follow(resource: KernelResource) -> None:
            addresses = set()
            async for status in lifecycle.watch(resource):
                addresses.add(status.address)
                if len(addresses) == 1:
                    known.release()
                elif len(addresses) == 2:
                    return

        known = asyncio.Semaphore(0)
        following = [asyncio.ensure_future(follow(resource)) for resource in phantoms.resources]
        for _ in following:
            await known.acquire()
        await asyncio.to_thread(let_run, cluster.kubeconfig, in_namespace.name, phantoms.names)
        await asyncio.gather(*following)

    run(told_of_changes())
    run(host.close())
    successor = Host(load_settings())
    successor.lifecycle(KUBERNETES)  # only a backend that is used is swept
    run(sweep_dead(successor))
    assert run(successor.lifecycle(KUBERNETES).find(all_of_host)) == []
    run(successor.close())
    assert in_namespace.objects() == []


def test_many_slow_starts_are_told_by_one_watch_of_events(
    cluster: ClusterUnderTest, in_namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pods whose node never starts them: one list and one watch of events, which ends with the last of them."""
    asked: Counter[tuple[str, str]] = Counter()
    request, stream = ClusterClient.request, ClusterClient.stream

    async def recording(self: ClusterClient, method: str, path: str, **how: Any) -> Any:
        asked[method, path.rpartition("/")[2]] += 1
        return await request(self, method, path, **how)

    def recording_watch(self: ClusterClient, path: str, **how: Any) -> Any:
        asked["WATCH", path.rpartition("/")[2]] += 1
        return stream(self, path, **how)

    host = Host(load_settings())
    phantoms = Phantoms(host, tmp_path / "kernels", cluster.kubeconfig, in_namespace.name, PLACED_NOWHERE)
    run(phantoms.create(KERNELS), 120)
    monkeypatch.setattr(ClusterClient, "request", recording)
    monkeypatch.setattr(ClusterClient, "stream", recording_watch)
    lifecycle = host.lifecycle(KUBERNETES)

    async def tell_all() -> None:
        """Return when each of them was told what only an event says; none stops listening before."""
        told = asyncio.Semaphore(0)

        async def follow(resource: KernelResource) -> None:
            async for status in lifecycle.watch(resource):
                if status.reason == "Pulling":
                    told.release()

        followers = [asyncio.ensure_future(follow(resource)) for resource in phantoms.resources]
        await asyncio.sleep(following.SLOW + 1)  # by then they count as slow
        await asyncio.to_thread(let_them_pull, cluster, in_namespace.name, phantoms.resources)
        for _ in followers:
            await told.acquire()
        await asyncio.gather(*(end_task(follower) for follower in followers))

    run(tell_all(), 100)
    assert (asked["GET", "events"], asked["WATCH", "events"]) == (1, 1)
    assert asked["WATCH", "pods"] == 1
    until(lambda: not [task for task in run(all_tasks()) if "ListWatch" in repr(task)], 10, "the end of the watches")
    cluster.api.delete_collection_namespaced_pod(in_namespace.name, grace_period_seconds=0)
    run(host.close())


async def all_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks()


def let_them_pull(cluster: ClusterUnderTest, namespace: str, resources: Sequence[KernelResource]) -> None:
    """Write the events of a node that pulls an image."""
    now = datetime.now(timezone.utc).isoformat()
    common = {"reason": "Pulling", "type": "Normal", "message": 'Pulling image "cluster.test/none:1"'}
    times = {"firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": {"component": "kubelet"}}

    def write(resource: KernelResource) -> None:
        pod = {"kind": "Pod", "name": resource.data["pod"], "namespace": namespace, "uid": resource.id}
        document: Any = {"metadata": {"generateName": "e-"}, "involvedObject": pod, **common, **times}
        cluster.api.create_namespaced_event(namespace, document)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, resources))


@pytest.mark.skipif(bool(FOREIGN), reason="needs an image with the small kernel")
def test_a_forwarded_kernel_has_as_many_clients_as_come(kernels: Kernels) -> None:
    kernels.host.settings.kubernetes_route = "port-forward"
    kernels.add_spec("tiny", ("python", "-m", "tiny_kernel", "-f", "{connection_file}"))
    connection = kernels.start("tiny").connection

    async def greet_all() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS):
                reader, writer = await asyncio.open_unix_connection(f"{connection.ip}-{connection.shell_port}")
                stack.callback(writer.close)
                # ZMQ's greeting, which nobody but the kernel can say.
                assert (await asyncio.wait_for(reader.readexactly(10), 10))[0] == 0xFF

    run(greet_all())
