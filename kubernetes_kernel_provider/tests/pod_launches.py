"""Launches as the core would request them, for tests that need no cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes_kernel_provider.manifests import HostAccount, KernelManifests
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.assigned import with_curve_keys
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, KUBERNETES
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import KernelMemory, KernelRequest
from remote_kernel_provider.owner import Owner
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.parameters.resolve import resolve_parameters

HOST = HostAccount("team", "jupyter")
KERNEL_ID = "3f2b9c1e-0b7a-4a57-9b58-4f2d1c9a7e60"
COMMAND = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
KEYS = tuple(key for key in CONFIG_KEYS if KUBERNETES in key.backends)

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"
FORBIDDEN = [
    ("hostNetwork: true", "spec.hostNetwork is true", "baseline"),
    ("hostIPC: true", "spec.hostIPC is true", "baseline"),
    ("volumes: [{name: v, hostPath: {path: /}}]", "spec.volumes[0].hostPath is a folder of the node", "baseline"),
    ("volumes: [{name: v, nfs: {server: s, path: /}}]", "spec.volumes[0].nfs is a type of volumes", "restricted"),
    ("securityContext: {runAsNonRoot: false}", "spec.securityContext.runAsNonRoot is false", "restricted"),
    ("securityContext: {seccompProfile: {type: Unconfined}}", "seccompProfile.type is Unconfined", "baseline"),
    ("securityContext: {appArmorProfile: {type: Unconfined}}", "appArmorProfile.type is Unconfined", "baseline"),
    ("securityContext: {seLinuxOptions: {user: root}}", "seLinuxOptions names another type", "baseline"),
    ("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", "sets kernel.msgmax", "baseline"),
    ("C: {privileged: true}", "spec.containers[0].securityContext.privileged is true", "baseline"),
    ("C: {allowPrivilegeEscalation: true}", "allowPrivilegeEscalation is true", "restricted"),
    ("C: {capabilities: {add: [SYS_ADMIN]}}", "capabilities.add has SYS_ADMIN", "baseline"),
    ("C: {capabilities: {add: [CHOWN]}}", "capabilities.add has CHOWN", "restricted"),
    ("C: {capabilities: {drop: [KILL]}}", "capabilities.drop has no ALL", "restricted"),
    ("C: {procMount: Unmasked}", "procMount is Unmasked", "baseline"),
    ("C: {runAsNonRoot: false}", "runAsNonRoot is false", "restricted"),
    ("C: {windowsOptions: {hostProcess: true}}", "windowsOptions.hostProcess is true", "baseline"),
    ("L: {httpGet: {host: x, port: 1}}", "containers[0].livenessProbe.httpGet.host has the node ask", "baseline"),
    ("H: {preStop: {tcpSocket: {host: x, port: 1}}}", "lifecycle.preStop.tcpSocket.host has the node", "baseline"),
    ("P: [{containerPort: 1, hostPort: 80}]", "ports[0].hostPort is a port of the node", "baseline"),
]
"""Lines of a pod, what is said of them, and the mildest pod security level that forbids them.

A first word of one letter stands for a field of the container.
"""

_FIELDS = {"C": "securityContext", "P": "ports", "L": "livenessProbe", "H": "lifecycle"}


def template_with(line: str) -> str:
    """Return a template whose last line is this one."""
    field, _, value = line.partition(": ")
    if field in _FIELDS:
        return f"{POD}spec:\n  containers:\n  - name: k\n    {_FIELDS[field]}: {value}\n"
    return f"{POD}spec:\n  containers: [{{name: k}}]\n  {line}\n"


def write_spec(folder: Path, *, template: str = "", **fields: Any) -> KernelSpec:
    """Write a spec with a template beside it, and read it."""
    config = {"image_name": "acme/science:2.0", **fields.pop("config", {})}
    metadata = {"lifecycle_manager": {"class_name": "kubernetes", "config": config}, **fields.pop("metadata", {})}
    document = {"display_name": "Science", "language": "python", "argv": COMMAND, "metadata": metadata, **fields}
    file = folder / "kernels/science/k8skp_kernel.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    own = file.parent / "scripts/kernel-pod.yaml.j2"
    own.unlink(missing_ok=True)
    if template:
        own.parent.mkdir(exist_ok=True)
        own.write_text(template)
    return read_spec(file, KUBERNETES, KEYS)


def request_of(
    spec: KernelSpec,
    values: Mapping[str, Any] | None = None,
    *,
    settings: RemoteKernelSettings | None = None,
    user: str = "ada",
    environment: Mapping[str, str] | None = None,
    working_dir: str | None = None,
    kernel_id: str = KERNEL_ID,
    generation: str = "0123456789ab",
    encrypted: bool = False,
) -> KernelRequest:
    """Return a launch's request; its client may set every parameter."""
    settings = settings or RemoteKernelSettings()
    settings.client_parameters = [key.parameter for key in KEYS if key.parameter]
    asked = ClientRequest(
        kernel_id, Identity(user, "authenticated"), values or {}, environment or {}, working_dir=working_dir
    )
    parameters = resolve_parameters("k8skp", spec, asked, settings)
    assigned = spec.handshake == "assigned"
    connection = ConnectionInfo("0.0.0.0", (1, 2, 3, 4, 5), "the key of the kernel", spec.name)
    if encrypted:
        connection = with_curve_keys(connection)
    return KernelRequest(
        spec=spec,
        parameters=parameters,
        owner=Owner(user, "host", "client-1"),
        generation=generation,
        substitutions={},
        environment=parameters.environment,
        memory=KernelMemory(connection, {"spec": spec.name}) if assigned else None,
    )


def parts(manifests: KernelManifests) -> tuple[Any, Any, Any]:
    """Return the pod, its `spec`, and the kernel's container."""
    pod = manifests.pod.document
    return pod, pod["spec"], kernel_container(pod["spec"])


def variables(container: Any) -> dict[str, str]:
    """Return a container's environment."""
    return {entry["name"]: entry["value"] for entry in container["env"]}
