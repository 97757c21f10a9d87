"""What a launch of a spec would create, without a cluster: for `--dry-run`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes_kernel_provider.host_script import LAUNCH_KUBERNETES
from kubernetes_kernel_provider.manifests import (
    HostAccount,
    connection_secret,
    make_manifests,
    make_namespace,
    place,
    to_yaml,
)
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import KernelMemory, KernelRequest
from remote_kernel_provider.owner import Owner
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.parameters.policy import open_to_all
from remote_kernel_provider.parameters.resolve import resolve_parameters

_FORWARDED = "by port-forward, which takes get and create of pods/portforward"
_REACHED = {
    "auto": f"at its pod's address where that answers this host, else {_FORWARDED}",
    "direct": "at its pod's address",
    "port-forward": _FORWARDED,
}
_HOST = HostAccount("<the host's own namespace>")
_UID = "<uid of the pod>"
_GENERATION = "0" * 12


def preview_route(settings: RemoteKernelSettings) -> str:
    """Return a sentence about how the kernel would be reached."""
    route = settings.kubernetes_route
    return f"It is reached {_REACHED[route]} (kubernetes_route is '{route}'); 'jupyter remote-kernel doctor' tries it."


def preview_launch(
    provider_id: str, spec: KernelSpec, settings: RemoteKernelSettings, template: Path | None = None
) -> str:
    """Return the objects of a launch without any parameter, as YAML; what Secrets hold is masked.

    Parameters
    ----------
    provider_id
        Prefix of the kernel's name.
    spec
        The kernel.
    settings
        The operator's.
    template
        By default the spec's.

    Raises
    ------
    RemoteKernelError
        What such a launch would be refused for.
    """
    spec = open_to_all(LAUNCH_KUBERNETES.left_out(spec))
    client = ClientRequest(str(uuid.UUID(int=0)), system_identity())
    parameters = resolve_parameters(provider_id, spec, client, settings)
    connection = ConnectionInfo("0.0.0.0", (1, 2, 3, 4, 5), "", spec.name)
    memory = KernelMemory(connection, {}) if spec.handshake == "assigned" else None
    request = KernelRequest(
        spec=spec,
        parameters=parameters,
        owner=Owner(client.identity.user, "", ""),
        generation=_GENERATION,
        substitutions={},
        environment=parameters.environment,
        memory=memory,
    )
    placement = place(request, settings, _HOST)
    manifests = make_manifests(request, placement, settings, template=template)
    pod = manifests.pod.document
    secrets = [] if memory is None else [connection_secret(pod, _UID, connection, b"")]
    around: list[Mapping[str, Any]] = []
    if placement.automatic:
        namespace = make_namespace(request, placement, settings, _HOST)
        around = [namespace.namespace.document, *(other.document for other in namespace.others)]
    return to_yaml([*around, pod, *secrets, *(other.document for other in manifests.owned(_UID))])
