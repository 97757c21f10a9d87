"""Kernels that are API objects and nothing else, so that one small node can have a thousand of them.

No scheduler places their pods; their status, which a node would write, is written here.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from kubernetes_kernel_provider.template_files import TEMPLATE
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.host import Host, system_identity
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelMemory, KernelRequest, KernelResource
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP

PARALLEL = 16
SPEC = """\
{"display_name": "Phantom", "language": "python", "argv": ["python"], "metadata": {
  "lifecycle_manager": {"class_name": "kubernetes", "config": {"image_name": "cluster.test/none:1"}}}}
"""
NEVER_PLACED = """\
apiVersion: v1
kind: Pod
metadata: {name: x}
spec:
  schedulerName: nobody
  containers: [{name: kernel}]
"""


class Phantoms:
    """Phantoms of one host.

    Parameters
    ----------
    host
        Their owner.
    folder
        A `kernels` folder, in which their spec is written.
    kubeconfig, namespace
        Where they are.
    pod
        Template of their pods.
    """

    def __init__(self, host: Host, folder: Path, kubeconfig: Path, namespace: str, pod: str = NEVER_PLACED) -> None:
        self.resources: list[KernelResource] = []
        self._host = host
        self._place = (kubeconfig, namespace)
        template = folder / "phantom" / TEMPLATE
        template.parent.mkdir(parents=True)
        template.write_text(pod)
        file = folder / "phantom" / KubernetesKernelProvider.kernel_file
        file.write_text(SPEC)
        self._provider = KubernetesKernelProvider(host)
        self._spec = self._provider.read_spec(file)

    async def make(self, count: int) -> None:
        """Create them, and say that they run."""
        await PRIVATE_LOOP.call(self.create(count))
        await asyncio.to_thread(let_run, *self._place, self.names)

    async def create(self, count: int) -> None:
        """Create them by the product itself; on the private loop."""
        turns = asyncio.Semaphore(PARALLEL)

        async def create() -> KernelResource:
            async with turns:
                return await self._host.lifecycle(KUBERNETES).create(self._request())

        self.resources = await asyncio.gather(*(create() for _ in range(count)))

    @property
    def names(self) -> list[str]:
        """The pods' names."""
        return [str(resource.data["pod"]) for resource in self.resources]

    def _request(self) -> KernelRequest:
        asked = ClientRequest(str(uuid.uuid4()), system_identity())
        parameters = self._provider.plan(self._spec, asked).parameters
        connection = ConnectionInfo("0.0.0.0", (1, 2, 3, 4, 5), "the key of no kernel", "phantom")
        return KernelRequest(
            spec=self._spec,
            parameters=parameters,
            owner=self._host.owner("somebody"),
            generation=uuid.uuid4().hex[:12],
            substitutions={},
            environment=parameters.environment,
            memory=KernelMemory(connection, {"spec": "phantom"}),
        )


def let_run(kubeconfig: Path, namespace: str, names: Sequence[str], changes: int = 0) -> None:
    """Write the status of running pods, each with another address than before.

    Parameters
    ----------
    kubeconfig, namespace
        Where they are.
    names
        Of the pods.
    changes
        How many of them, some perhaps twice; 0 = each once.
    """
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    # No two changes in a row are to the same address.
    start = random.randrange(1 << 16)
    addresses = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in itertools.count(start))

    def write(name: str, address: str) -> None:
        running = {"startedAt": "2026-01-01T00:00:00Z"}
        container = {"name": "kernel", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        statuses = [{**container, "state": {"running": running}}]
        status: Any = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "containerStatuses": statuses}
        api.patch_namespaced_pod_status(
            name, namespace, {"status": status}, _content_type="application/merge-patch+json"
        )

    chosen = list(itertools.islice(itertools.cycle(names), changes or len(names)))
    with ThreadPoolExecutor(PARALLEL // 2) as threads:
        list(threads.map(write, chosen, addresses))
