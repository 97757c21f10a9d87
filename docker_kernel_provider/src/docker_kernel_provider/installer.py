# PYTHON_ARGCOMPLETE_OK: argcomplete looks for this mark in the module of a console script.
"""`jupyter docker-kernelspec`, and `jupyter docker-spec` as peers call it: specs of kernels in containers."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial

from traitlets import Bool

from docker_kernel_provider.preview import preview
from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.kernelspecs.installer import (
    ConfigValue,
    ContainerSpecInstall,
    NewSpec,
    SpecKind,
    run_installer,
)
from remote_kernel_provider.kernelspecs.spec import KernelSpec


def _find_fault(spec: KernelSpec) -> str:
    """Say that there is no image to run."""
    return "" if spec.config.get("image_name") else f"it names no image; set image_name in the config of {spec.file}"


DOCKER_KIND = SpecKind(
    provider_id=DockerKernelProvider.id,
    spec_file=DockerKernelProvider.kernel_file,
    lifecycle_class="docker_kernel_provider.DockerLifecycleManager",
    command="docker-kernelspec",
    config_keys=DockerKernelProvider.config_keys,
    find_fault=_find_fault,
)

SWARM_CLASS = "docker_kernel_provider.SwarmLifecycleManager"


class DockerSpecInstall(ContainerSpecInstall):
    """Installs a kernel that runs in a container of Docker, or in a service of a Docker Swarm."""

    kind = DOCKER_KIND
    examples = inspect.cleandoc("""
        jupyter docker-kernelspec install
        jupyter docker-kernelspec install --image-name acme/science:2.0 --kernel-name science --param memory=8Gi
        jupyter docker-kernelspec install --language R --swarm
        """)

    swarm = Bool(False, help="The kernel runs in a service of a Docker Swarm.").tag(config=True, option=True)
    connection_file = ConfigValue("connection_file")
    constraints = ConfigValue("constraints")

    @property
    def place(self) -> str:
        """Where its kernels run."""
        return "Docker Swarm" if self.swarm else "Docker"

    def default_spec(self) -> NewSpec:
        """Return the language's kernel for the engine or the Swarm."""
        spec = super().default_spec()
        return replace(spec, lifecycle_class=SWARM_CLASS) if self.swarm else spec

    def preview(self, spec: KernelSpec) -> str:
        """Return the container or the service that a launch would create."""
        return preview(spec)


class PeersDockerSpecInstall(DockerSpecInstall):
    """Installs a kernel that runs in a container of Docker, or in a service of a Docker Swarm."""

    kind = replace(DOCKER_KIND, command="docker-spec")
    examples = DockerSpecInstall.examples.replace(DOCKER_KIND.command, kind.command)


main = partial(run_installer, DockerSpecInstall)
"""`jupyter docker-kernelspec`; see `run_installer`."""
docker_spec = partial(run_installer, PeersDockerSpecInstall)
"""`jupyter docker-spec`; see `run_installer`."""
