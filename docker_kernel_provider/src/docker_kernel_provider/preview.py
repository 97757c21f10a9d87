"""What a launch would ask the engine for, as `install --dry-run` prints it; asks no engine and creates nothing."""

from __future__ import annotations

import json
import time
from typing import Any

from docker_kernel_provider.archive import CONNECTION_FILE
from docker_kernel_provider.container import Ports, container_of
from docker_kernel_provider.image import RunAs
from docker_kernel_provider.labels import resource_of_request
from docker_kernel_provider.launch_script import LAUNCH_DOCKER
from docker_kernel_provider.policy import check_policy
from docker_kernel_provider.provider import DockerKernelProvider
from docker_kernel_provider.swarm.service import Secret, resource_of_service, service_of
from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.connection.assigned import assign_connection
from remote_kernel_provider.connection.info import PORT_NAMES, ConnectionInfo
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.kernelspecs.config_keys import DOCKER, SWARM
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import KernelMemory, KernelRequest
from remote_kernel_provider.owner import Owner
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, LaunchParameters
from remote_kernel_provider.parameters.policy import open_to_all
from remote_kernel_provider.parameters.resolve import resolve_parameters

SECRET = "SECRET"
_IMAGES_USER = "the image's own, or 1000:100 where that is root"
_REPORTED = ("PORT_RANGE", "PUBLIC_KEY", "RESPONSE_ADDRESS", "TRANSPORT_ENCRYPTION")


def preview(spec: KernelSpec) -> str:
    """Return what a launch without any parameter would create, as text; capital words stand for what only it knows.

    Parameters
    ----------
    spec
        As the provider reads it.
    """
    settings = load_settings()
    asked = ClientRequest("KERNEL-ID", system_identity())
    try:
        spec = open_to_all(LAUNCH_DOCKER.left_out(spec))
        parameters = resolve_parameters(DockerKernelProvider.id, spec, asked, settings)
        check_policy(spec, parameters, settings)
    except RemoteKernelError as error:
        return f"A launch would be refused: {error}\n"
    connection = None
    if spec.handshake == "assigned":
        connection = assign_connection(spec, "0.0.0.0", (0, 0, 0, 0, 0), parameters.encryption)
    request = KernelRequest(
        spec=spec,
        parameters=parameters,
        owner=Owner(parameters.identity.user, "HOST-ID", "INSTANCE"),
        generation="GENERATION",
        substitutions={},
        environment={**parameters.environment, **({} if connection else {name: name for name in _REPORTED})},
        memory=KernelMemory(connection, {}) if connection else None,
    )
    try:
        texts = [_service(request, settings) if spec.lifecycle_manager == SWARM else _container(request, settings)]
    except RemoteKernelError as error:
        return f"A launch would be refused: {error}\n"
    if connection:
        texts.append(f"{CONNECTION_FILE} in it, for its user alone:\n{_json(_hidden(connection))}\n")
    return "\n".join(texts)


def _container(request: KernelRequest, settings: RemoteKernelSettings) -> str:
    resource = resource_of_request(DOCKER, request, time.time())
    user = RunAs(_user(request.parameters), 0, 0, "", "")
    return f"container {resource.id}:\n{_json(container_of(request, resource, settings, user, {}, Ports()))}\n"


def _service(request: KernelRequest, settings: RemoteKernelSettings) -> str:
    resource = resource_of_service(SWARM, request, time.time())
    secret = Secret("SECRET-ID", resource.id) if request.memory else None
    return f"service {resource.id}:\n{_json(service_of(request, resource, settings, None, secret, ()))}\n"


def _user(parameters: LaunchParameters) -> str:
    uid, gid = (parameters.config.get(name, "image") for name in ("uid", "gid"))
    if (uid, gid) == ("image", "image"):
        return _IMAGES_USER
    return f"{'UID' if uid == 'image' else uid}:{'GID' if gid == 'image' else gid}"


def _hidden(connection: ConnectionInfo) -> dict[str, Any]:
    document = connection.to_json()
    hidden = {name: SECRET for name in document if "key" in name}
    return {**document, **hidden, **dict.fromkeys(PORT_NAMES, "PORT")}


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
