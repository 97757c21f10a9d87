"""The service that a kernel runs in, as the engine's API has it; hardened as containers are, where services can be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker_kernel_provider.archive import CONNECTION_FILE
from docker_kernel_provider.container import SIGNALS_REACH_ALL, image_of
from docker_kernel_provider.image import GROUP, HOME, USER, Image
from docker_kernel_provider.labels import labels_of, resource_of_request
from docker_kernel_provider.mounts import parse_mounts
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import LaunchError, RefusedError
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.parameters.environment import with_references
from remote_kernel_provider.quantity import parse_quantity

GPU = "NVIDIA-GPU"
"""Kind under which nodes advertise their GPUs."""
END_GRACE_NANOSECONDS = 10**9
"""Between a node's polite request to a kernel and its end by force."""
_COPYING = 'mkdir -p -m 700 "$1" && (umask 077 && cp "$2" "$3") && shift 3 && exec "$@"'
"""Gives the kernel a connection file that it may write to; its paths and the command come as arguments."""
_COPY_FOLDER = f"{HOME}/.remote-kernel"
_COPY = f"{_COPY_FOLDER}/connection.json"


@dataclass(frozen=True)
class Secret:
    """A secret that holds a connection file.

    Parameters
    ----------
    id, name
        In the Swarm.
    """

    id: str
    name: str


def resource_of_service(lifecycle: str, request: KernelRequest, created: float) -> KernelResource:
    """Return the handle of a kernel that is about to be created; its id is the name of its service and its secret."""
    resource = resource_of_request(lifecycle, request, created)
    # A service's name has 63 characters at most, none of them a dot.
    kernel_id = re.sub(r"[^A-Za-z0-9]+", "-", resource.kernel_id)[:40].strip("-")
    fields = resource.to_json() | {"id": "-".join(filter(None, ("jupyter", kernel_id, resource.generation)))}
    return KernelResource.from_json(fields)


def user_of(request: KernelRequest, settings: RemoteKernelSettings) -> tuple[int, int]:
    """Return user and group of a kernel: as the parameters say, else those of Jupyter's own images.

    The image's own user is known to the node alone, and the secret needs its number before.

    Raises
    ------
    LaunchError
        When the parameters leave it to the image.
    RefusedError
        When the operator prohibits it.
    """
    config = request.parameters.config
    uid, gid = config.get("uid", USER), config.get("gid", GROUP)
    if uid == "image":
        raise LaunchError(
            f"kernel '{request.parameters.kernel_name}': a Swarm cannot know the image's own user before it runs; "
            "set uid to its number"
        )
    for kind, number, prohibited in (("uid", uid, settings.prohibited_uids), ("gid", gid, settings.prohibited_gids)):
        if number in {*prohibited, *request.spec.config.get(f"prohibited_{kind}s", ())}:
            raise RefusedError(f"{kind} {number} is refused: it is one of prohibited_{kind}s; set another {kind}")
    return int(uid), int(gid)


def service_of(
    request: KernelRequest,
    resource: KernelResource,
    settings: RemoteKernelSettings,
    image: Image | None,
    secret: Secret | None,
    published: Sequence[int],
) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_service`.

    Parameters
    ----------
    request, resource, settings
        The kernel, its handle, and the operator's word.
    image
        Its image, where this engine has it.
    secret
        Its connection file; None with the reported handshake.
    published
        Ports of the container that its node publishes.
    """
    config = request.parameters.config
    networks = tuple(config.get("networks", ())) or tuple(filter(None, [settings.docker_network]))
    ports = [_published(port, tuple(config["port_range"])) for port in published]
    template = {
        "ContainerSpec": _container(request, resource, settings, image, secret),
        "Resources": _resources(config, settings),
        # The kernel's state is gone with its process: a new one must not stand in for it.
        "RestartPolicy": {"Condition": "none"},
        "Placement": _placement(config),
        "Networks": [{"Target": network} for network in networks],
    }
    return {
        "task_template": template,
        "name": resource.id,
        "labels": labels_of(resource),
        "mode": {"Replicated": {"Replicas": 1}},
        "endpoint_spec": {"Mode": "dnsrr", "Ports": ports},
    }


def _container(
    request: KernelRequest,
    resource: KernelResource,
    settings: RemoteKernelSettings,
    image: Image | None,
    secret: Secret | None,
) -> dict[str, Any]:
    config = request.parameters.config
    uid, gid = user_of(request, settings)
    environment = {
        "HOME": HOME,
        **with_references(request.spec.env, image.environment if image else {}),
        **request.environment,
    }
    working_dir = config.get("working_dir") or (
        request.parameters.working_dir if settings.mirror_working_dirs else None
    )
    container: dict[str, Any] = {
        "Image": _pinned(request, image),
        "User": f"{uid}:{gid}",
        "Groups": [str(group) for group in config.get("groups", ())],
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {**config.get("labels", {}), **labels_of(resource)},
        "Mounts": _mounts(config),
        "StopGracePeriod": END_GRACE_NANOSECONDS,
        **_hardening(settings),
    }
    if working_dir:
        container["Dir"] = working_dir
    if secret is not None:
        file = {"Name": CONNECTION_FILE, "UID": str(uid), "GID": str(gid), "Mode": 0o400}
        container["Secrets"] = [{"SecretID": secret.id, "SecretName": secret.name, "File": file}]
    process = _process(request)
    if not any(process.values()):
        container["Env"].append(SIGNALS_REACH_ALL)
    return container | process


def _process(request: KernelRequest) -> dict[str, Any]:
    """Return the kernel's command: in place of the image's entry point, which may signal all processes at once."""
    if request.writes_connection_file:
        copying = ["sh", "-c", _COPYING, "sh", _COPY_FOLDER, CONNECTION_FILE, _COPY]
        return {"Command": copying, "Args": request.command(connection_file=_COPY)}
    command = request.command(connection_file=CONNECTION_FILE)
    return {"Command": command[:1], "Args": command[1:]}


def command_of(container: Mapping[str, Any]) -> str:
    """Return the first word of the kernel's command, in a container that was inspected."""
    path, arguments = str(container.get("Path", "")), list(container.get("Args") or ())
    place = arguments.index(_COPYING) + 5 if _COPYING in arguments else len(arguments)
    return str(arguments[place]) if place < len(arguments) else path


def _pinned(request: KernelRequest, image: Image | None) -> str:
    """Return the image as its nodes are told: the very one that this engine has, which they then need not ask for."""
    name = image_of(request)
    if image is None or request.parameters.config.get("pull_policy", "IfNotPresent") != "IfNotPresent":
        return name
    repository = re.sub(r":[^/:]*$", "", name.partition("@")[0])
    pinned = next((digest for digest in image.digests if digest.partition("@")[0] == repository), "")
    return f"{name}@{pinned.partition('@')[2]}" if pinned and "@" not in name else name


def _hardening(settings: RemoteKernelSettings) -> dict[str, Any]:
    return {
        # As process 1 a kernel would answer an interrupt by ending its children.
        "Init": True,
        "CapabilityDrop": ["ALL"],
        "CapabilityAdd": list(settings.docker_capabilities),
        # Older engines do not know it for services, and ignore it.
        "Privileges": {"NoNewPrivileges": not settings.docker_new_privileges},
    }


def _mounts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    mounts = [mount.to_api() for mount in parse_mounts(config.get("volumes", ()))]
    if not any(mount["Target"] == HOME for mount in mounts):
        mounts.append({"Type": "tmpfs", "Target": HOME, "TmpfsOptions": {"Mode": 0o1777}})
    if "shm_size" in config:
        size = int(parse_quantity(config["shm_size"]))
        mounts.append({"Type": "tmpfs", "Target": "/dev/shm", "TmpfsOptions": {"SizeBytes": size, "Mode": 0o1777}})
    return mounts


def _placement(config: Mapping[str, Any]) -> dict[str, Any]:
    placement: dict[str, Any] = {"Constraints": list(config.get("constraints", ()))}
    if "platform" in config:
        system, _, architecture = str(config["platform"]).partition("/")
        placement["Platforms"] = [{"OS": system, "Architecture": architecture}]
    return placement


def _resources(config: Mapping[str, Any], settings: RemoteKernelSettings) -> dict[str, Any]:
    """Translate Kubernetes' requests and limits to what services have for them."""
    reservations: dict[str, Any] = {}
    limits: dict[str, Any] = {"Pids": settings.docker_pids_limit}
    for amounts, suffix in ((reservations, ""), (limits, "_limit")):
        if f"memory{suffix}" in config:
            amounts["MemoryBytes"] = int(parse_quantity(config[f"memory{suffix}"]))
        if f"cpus{suffix}" in config:
            amounts["NanoCPUs"] = int(parse_quantity(config[f"cpus{suffix}"]) * 10**9)
    gpus = int(parse_quantity(config.get("gpus_limit", config.get("gpus", "0"))))
    if gpus:
        reservations["GenericResources"] = [{"DiscreteResourceSpec": {"Kind": GPU, "Value": gpus}}]
    return {"Reservations": reservations, "Limits": limits}


def _published(port: int, port_range: tuple[int, ...]) -> dict[str, Any]:
    """Publish a port on the node that the kernel runs on: the same where the operator has a range, else any."""
    outside = {"PublishedPort": port} if any(port_range) else {}
    return {"Protocol": "tcp", "TargetPort": port, "PublishMode": "host", **outside}
