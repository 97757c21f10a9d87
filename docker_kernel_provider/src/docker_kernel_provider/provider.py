"""`DockerKernelProvider`: kernels in Docker containers and Swarm services. Importing it imports no Docker SDK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from docker_kernel_provider.launch_script import LAUNCH_DOCKER
from docker_kernel_provider.policy import check_policy
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, DOCKER, SWARM, ConfigKey
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.launch import LaunchPlan
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, LaunchParameters
from remote_kernel_provider.provider import RemoteKernelProvider


class DockerKernelProvider(RemoteKernelProvider):
    """Offers the specs in `docker_kernel.json` files, and ordinary ones whose peers' stanza names Docker or Swarm."""

    id: ClassVar[str] = "docker"  # type: ignore[misc]
    kernel_file: ClassVar[str] = "docker_kernel.json"
    default_lifecycle: ClassVar[str] = DOCKER
    lifecycle_managers: ClassVar[frozenset[str]] = frozenset({DOCKER, SWARM})
    config_keys: ClassVar[Sequence[ConfigKey]] = tuple(key for key in CONFIG_KEYS if key.backends & {DOCKER, SWARM})

    def prepare(self, spec: KernelSpec) -> KernelSpec:
        """Return a spec without the script of the host that specs of the gateway family run."""
        return LAUNCH_DOCKER.left_out(spec)

    def check(self, spec: KernelSpec, parameters: LaunchParameters, settings: RemoteKernelSettings) -> None:
        """Check volumes, networks, groups and labels."""
        check_policy(spec, parameters, settings)


class DockerSwarmAlias(DockerKernelProvider):
    """The provider's name of 2020: `docker_swarm/X` launches `docker/X`, and is not listed."""

    id: ClassVar[str] = "docker_swarm"  # type: ignore[misc]

    def kernels(self) -> Iterator[tuple[str, KernelSpec]]:
        """Yield nothing."""
        return iter(())

    def plan(
        self,
        spec: KernelSpec,
        request: ClientRequest,
        *,
        replaces: ConnectionInfo | None = None,
        detached: bool = False,
    ) -> LaunchPlan:
        """Plan it under its present name, to which the operator's settings refer."""
        return DockerKernelProvider(self.host).plan(spec, request, replaces=replaces, detached=detached)
