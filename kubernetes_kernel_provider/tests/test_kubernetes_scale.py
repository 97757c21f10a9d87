"""Many kernels of one host, and many clients of one kernel."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cluster.fixtures import FOREIGN, ClusterUnderTest, Namespace
from cluster.phantoms import Phantoms, let_run

from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.private_loop import end_task
from remote_kernel_provider.sweep import sweep_dead
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run

pytestmark = [pytest.mark.slow, pytest.mark.long]

KERNELS = 120
"""More than the hundred connections that a pool has by default."""
CLIENTS = 105


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


def test_pods_that_do_not_start_leave_room_for_requests(kernels: Kernels, in_namespace: Namespace) -> None:
    """Each is watched for events of its own, over a connection that it keeps."""
    kernels.add_spec("impossible", ("python",), config={"node_selector": {"nowhere": "true"}})
    lifecycle = kernels.lifecycle

    async def launch_all() -> None:
        launches = [asyncio.ensure_future(kernels.launch("impossible")) for _ in range(KERNELS)]
        try:
            while len(await lifecycle.find(OwnerSelector(host_id=kernels.host.identity.host_id))) < KERNELS:
                assert not any(launching.done() for launching in launches)
                await asyncio.sleep(0.2)
            await asyncio.sleep(3)  # by then each of them counts as slow
            await asyncio.wait_for(lifecycle.describe(), 10)
        finally:
            for launching in launches:
                await end_task(launching)

    run(launch_all())


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
