"""The contract of all backends, over services of a real Docker Swarm."""

import json

import pytest
from engine.images import KERNEL
from engine.swarm_provider import SwarmProvider

from remote_kernel_provider.testing.contract import LifecycleContract
from remote_kernel_provider.testing.kernels import Kernels


@pytest.mark.slow
class TestSwarm(LifecycleContract):
    provider_class = SwarmProvider
    # Debian's ipykernel is older than CURVE, and writes its connection file anew.
    config = {"image_name": KERNEL, "transport_encryption": "disabled", "connection_file": "copied"}
    light = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
    crowd_size = 16
    # From before anything is there until after a kernel's container has started.
    cancelled_after = (0, 0.02, 0.06, 0.15, 0.3, 0.5, 0.8, 1.2)
    # A Swarm needs three times as long for a container as its engine.
    failure_is_noticed_within = 15.0
    reported = (
        "python", "-m", "kernel_launchers.python",
        "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
        "--response-address", "{response_address}", "--public-key", "{public_key}",
        "--transport-encryption", "{transport_encryption}",
    )  # fmt: skip

    @pytest.fixture(autouse=True)
    def swarm_with_image(self, swarm, image, jupyter_folders):
        self.engine = swarm
        image(KERNEL)

    def leftovers(self, kernels: Kernels) -> list[str]:
        labels = {"label": f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"}
        client = self.engine.client
        things = [*client.services(filters=labels), *client.secrets(filters=labels)]
        containers = client.containers(all=True, filters=labels)
        folder = kernels.host.identity.folder / "docker-swarm"
        files = [path.name for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        found = [
            *super().leftovers(kernels),
            *(thing["Spec"]["Name"] for thing in things),
            *(container["Names"][0] for container in containers),
            *files,
        ]
        print("left:", found)
        return found

    def kill(self, manager) -> None:
        # As an operator does: the host is not asked.
        (task,) = self.engine.client.tasks(filters={"service": manager.resource.id})
        print(json.dumps(task["Status"], indent=1))
        self.engine.client.kill(task["Status"]["ContainerStatus"]["ContainerID"], "KILL")
