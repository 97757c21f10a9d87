"""The contract of all backends, over containers of a real Docker engine."""

import pytest
from engine.images import KERNEL

from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.testing.contract import LifecycleContract
from remote_kernel_provider.testing.kernels import Kernels


@pytest.mark.slow
class TestDocker(LifecycleContract):
    provider_class = DockerKernelProvider
    # Debian's ipykernel is older than CURVE.
    config = {"image_name": KERNEL, "transport_encryption": "disabled"}
    light = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
    crowd_size = 24
    cancelled_after = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
    reported = (
        "python", "-m", "kernel_launchers.python",
        "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
        "--response-address", "{response_address}", "--public-key", "{public_key}",
        "--transport-encryption", "{transport_encryption}",
    )  # fmt: skip

    @pytest.fixture(autouse=True)
    def real_engine(self, engine, image):
        self.engine = engine
        image(KERNEL)

    def leftovers(self, kernels: Kernels) -> list[str]:
        label = f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"
        return super().leftovers(kernels) + [container["Names"][0] for container in self.engine.containers(label)]

    def kill(self, manager) -> None:
        # As an operator does: the host is not asked.
        self.engine.client.kill(manager.resource.id, "KILL")
