"""The container that a kernel runs in, as the engine's API has it; hardened unless the operator says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker_kernel_provider.archive import CONNECTION_FILE
from docker_kernel_provider.image import RunAs
from docker_kernel_provider.labels import labels_of
from docker_kernel_provider.mounts import parse_mounts
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.parameters.environment import with_references
from remote_kernel_provider.quantity import parse_quantity

SIGNALS_REACH_ALL = "TINI_KILL_PROCESS_GROUP=1"
"""Has the init process signal all of its child's group: an image's own command may be a shell before its kernel."""
SHARES_PER_CPU = 1024
"""Docker's weight of one processor, as Kubernetes reckons it."""


@dataclass(frozen=True)
class Ports:
    """Which of a container's ports are published, and where.

    Parameters
    ----------
    ip
        Address of the engine's machine; empty = none is published.
    published
        Ports of the engine's machine by ports of the container; empty text = any.
    """

    ip: str = ""
    published: Mapping[int, str] | None = None


def container_of(
    request: KernelRequest,
    resource: KernelResource,
    settings: RemoteKernelSettings,
    run_as: RunAs,
    inherited: Mapping[str, str],
    ports: Ports,
) -> dict[str, Any]:
    """Return what the engine is asked to create.

    Parameters
    ----------
    request, resource, settings
        The kernel, its handle, and the operator's word.
    run_as
        As whom it runs in its image.
    inherited
        The image's environment, which the spec's may refer to.
    ports
        Its published ports.
    """
    config = request.parameters.config
    home = {"HOME": run_as.home} if run_as.home else {}
    environment = {**home, **with_references(request.spec.env, inherited), **request.environment}
    working_dir = config.get("working_dir") or (
        request.parameters.working_dir if settings.mirror_working_dirs else None
    )
    networks = networks_of(config, settings)
    container: dict[str, Any] = {
        "Image": config["image_name"],
        "User": run_as.user,
        "WorkingDir": working_dir or run_as.working_dir,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {**config.get("labels", {}), **labels_of(resource)},
        "AttachStdout": False,
        "AttachStderr": False,
        "HostConfig": {
            **_hardening(settings),
            **_resources(config),
            "NetworkMode": networks[0],
            "GroupAdd": [str(group) for group in config.get("groups", ())],
            "Mounts": [mount.to_api() for mount in parse_mounts(config.get("volumes", ()))],
        },
    }
    command = request.command(connection_file=CONNECTION_FILE)
    if command:
        # The image's own entry point is not run: it may be an init process that signals all processes at once.
        container |= {"Entrypoint": command, "Cmd": []}
    else:
        container["Env"].append(SIGNALS_REACH_ALL)
    if ports.published:
        container["ExposedPorts"] = {f"{port}/tcp": {} for port in ports.published}
        container["HostConfig"]["PortBindings"] = {
            f"{port}/tcp": [{"HostIp": ports.ip, "HostPort": outside}] for port, outside in ports.published.items()
        }
    return container


def image_of(request: KernelRequest) -> str:
    """Return the image's name, with a tag.

    Raises
    ------
    LaunchError
        When the spec names none.
    """
    name = str(request.parameters.config.get("image_name", ""))
    if not name:
        raise LaunchError(
            f"kernel '{request.parameters.kernel_name}' names no image; set image_name in {request.spec.file}"
        )
    return name


def networks_of(config: Mapping[str, Any], settings: RemoteKernelSettings) -> Sequence[str]:
    """Return the networks that a kernel joins, the one of its ports first."""
    return tuple(config.get("networks", ())) or (settings.docker_network or "bridge",)


def _hardening(settings: RemoteKernelSettings) -> dict[str, Any]:
    return {
        # As process 1 a kernel would answer an interrupt by ending its children.
        "Init": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": list(settings.docker_capabilities),
        "SecurityOpt": [] if settings.docker_new_privileges else ["no-new-privileges"],
        "PidsLimit": settings.docker_pids_limit or -1,
    }


def _resources(config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate Kubernetes' requests and limits to what Docker has for them."""
    resources: dict[str, Any] = {}
    if "memory" in config:
        resources["MemoryReservation"] = int(parse_quantity(config["memory"]))
    if "memory_limit" in config:
        # No swap beside it: a kernel that swaps stands still, and nobody learns why.
        resources["Memory"] = resources["MemorySwap"] = int(parse_quantity(config["memory_limit"]))
    if "cpus" in config:
        resources["CpuShares"] = max(2, int(parse_quantity(config["cpus"]) * SHARES_PER_CPU))
    if "cpus_limit" in config:
        resources["NanoCpus"] = int(parse_quantity(config["cpus_limit"]) * 10**9)
    if "shm_size" in config:
        resources["ShmSize"] = int(parse_quantity(config["shm_size"]))
    gpus = config.get("gpus_limit", config.get("gpus"))
    if gpus is not None and int(parse_quantity(gpus)):
        resources["DeviceRequests"] = [{"Count": int(parse_quantity(gpus)), "Capabilities": [["gpu"]]}]
    return resources
