"""The Docker provider, with its other lifecycle manager as the one under test."""

from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.kernelspecs.config_keys import SWARM


class SwarmProvider(DockerKernelProvider):
    """Runs kernels whose spec names no lifecycle manager in a Swarm."""

    default_lifecycle = SWARM
