"""The security floor: what every kernel's pod is given, and what no template may ask for.

The levels are Kubernetes' own (https://kubernetes.io/docs/concepts/security/pod-security-standards/). A template that
says less than the level demands gets it; one that says the contrary is an error at its line, and never mended silently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kubernetes_kernel_provider.templates import RenderedObject
from remote_kernel_provider.errors import ParameterError

DEFAULT_USER, DEFAULT_GROUP = 1000, 100
"""Who a kernel runs as when nothing is said: the user of Jupyter's own images."""

IMAGES_USER = "image"
"""The uid that leaves it to the image."""

_CONTAINERS = ("initContainers", "containers")
_RESTRICTED_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_BASELINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
})  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"

Violation = tuple[str, str]
"""A field's path, and what is wrong with it."""

_IDS = {
    "runAsUser": "prohibited_uids",
    "runAsGroup": "prohibited_gids",
    "fsGroup": "prohibited_gids",
    "supplementalGroups": "prohibited_gids",
}
"""Fields that hold ids, by the settings that prohibit some."""


def set_user(spec: dict[str, Any], container: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Set who a kernel runs as: the parameters' user, else the template's, else that of Jupyter's images.

    Raises
    ------
    ParameterError
        When a group is asked for and the user is the image's.
    """
    context = spec.setdefault("securityContext", {})
    own = container.get("securityContext", {})
    uid = config.get("uid")
    if uid == IMAGES_USER and "gid" in config:
        raise ParameterError("gid needs a uid, and uid is 'image', which brings a group of its own; leave it out")
    for key, field in (("uid", "runAsUser"), ("gid", "runAsGroup"), ("fs_group", "fsGroup")):
        if key in config and config[key] != IMAGES_USER:
            context[field] = config[key]
            own.pop(field, None)
    if uid == IMAGES_USER:
        return
    context.setdefault("runAsUser", DEFAULT_USER)
    context.setdefault("runAsGroup", DEFAULT_GROUP)
    context.setdefault("fsGroup", context["runAsGroup"])
    context.setdefault("fsGroupChangePolicy", "OnRootMismatch")


def set_floor(spec: dict[str, Any], level: str) -> None:
    """Give a pod what its template does not say of its security."""
    context = spec.setdefault("securityContext", {})
    context.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    if level == "restricted":
        context.setdefault("runAsNonRoot", True)
    spec.setdefault("automountServiceAccountToken", False)
    for _, container in _containers(spec):
        own = container.setdefault("securityContext", {})
        # A privileged container has everything, and the API refuses what contradicts that.
        if not own.get("privileged"):
            own.setdefault("allowPrivilegeEscalation", False)
            own.setdefault("capabilities", {}).setdefault("drop", ["ALL"])


def check_floor(
    rendered: RenderedObject,
    metadata: Mapping[str, Any],
    spec: Mapping[str, Any],
    level: str,
    prohibited: Mapping[str, Collection[int]],
) -> None:
    """Check a pod against a level.

    Parameters
    ----------
    rendered
        For the template's lines.
    metadata, spec
        The pod, complete.
    level
        `restricted`, `baseline` or `privileged`.
    prohibited
        The ids that are, by the settings that say so: `prohibited_uids`, `prohibited_gids`.

    Raises
    ------
    SpecError
        Names the template's line, the field and the setting.
    """
    for path, fault in _unsuitable(spec, prohibited):
        raise rendered.error(path, f"{fault}; take it out")
    if level == "privileged":
        return
    violations = [*_baseline(metadata, spec)]
    if level == "restricted":
        violations += _restricted(spec)
    for path, fault in violations:
        raise rendered.error(
            path, f"{fault}, which the pod security level '{level}' forbids (setting pod_security); take it out"
        )


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in _CONTAINERS:
        for index, container in enumerate(spec.get(kind, [])):
            yield f"spec.{kind}[{index}]", container


def _contexts(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the security contexts of a pod and of its containers."""
    yield "spec.securityContext", spec.get("securityContext", {})
    for path, container in _containers(spec):
        yield f"{path}.securityContext", container.get("securityContext", {})


def _probes(container: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what the node asks a container, by the fields that say so."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield name, container.get(name, {})
    for name, hook in container.get("lifecycle", {}).items():
        if isinstance(hook, dict):
            yield f"lifecycle.{name}", hook


def _unsuitable(spec: Mapping[str, Any], prohibited: Mapping[str, Collection[int]]) -> Iterator[Violation]:
    """Find what no setting allows."""
    if spec.get("hostPID"):
        yield "spec.hostPID", "is true, and a kernel's containers share processes with each other alone"
    if "ephemeralContainers" in spec:
        yield "spec.ephemeralContainers", "cannot be part of a new pod"
    for path, context in _contexts(spec):
        for field, setting in _IDS.items():
            said = context.get(field)
            for number in said if isinstance(said, list) else [said]:
                if isinstance(number, int) and number in prohibited[setting]:
                    yield f"{path}.{field}", f"is {number}, one of {setting}"


def _baseline(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Violation]:
    for name in ("hostNetwork", "hostIPC"):
        if spec.get(name):
            yield f"spec.{name}", "is true"
    for name, value in metadata.get("annotations", {}).items():
        if name.startswith(_APPARMOR) and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"metadata.annotations[{name}]", f"is '{value}'"
    for index, volume in enumerate(spec.get("volumes", [])):
        if "hostPath" in volume:
            yield f"spec.volumes[{index}].hostPath", "is a folder of the node"
    for index, sysctl in enumerate(spec.get("securityContext", {}).get("sysctls", [])):
        if sysctl.get("name") not in _SAFE_SYSCTLS:
            yield f"spec.securityContext.sysctls[{index}]", f"sets {sysctl.get('name')}"
    for path, container in _containers(spec):
        for index, port in enumerate(container.get("ports", [])):
            if port.get("hostPort"):
                yield f"{path}.ports[{index}].hostPort", "is a port of the node"
        for field, probe in _probes(container):
            for kind in ("httpGet", "tcpSocket"):
                if probe.get(kind, {}).get("host"):
                    yield f"{path}.{field}.{kind}.host", "has the node ask another host"
    for path, context in _contexts(spec):
        yield from _baseline_context(path, context)


def _baseline_context(path: str, context: Mapping[str, Any]) -> Iterator[Violation]:
    if context.get("privileged"):
        yield f"{path}.privileged", "is true"
    added = {str(name) for name in context.get("capabilities", {}).get("add", [])}
    if beyond := added - _BASELINE_CAPABILITIES:
        yield f"{path}.capabilities.add", f"has {', '.join(sorted(beyond))}"
    if context.get("procMount", "Default") != "Default":
        yield f"{path}.procMount", f"is {context['procMount']}"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess", "is true"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{path}.appArmorProfile.type", "is Unconfined"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{path}.seLinuxOptions", "names another type, user or role than containers have"
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield f"{path}.seccompProfile.type", "is Unconfined"


def _restricted(spec: Mapping[str, Any]) -> Iterator[Violation]:
    for index, volume in enumerate(spec.get("volumes", [])):
        for kind in volume.keys() - {"name"} - _RESTRICTED_VOLUMES:
            yield f"spec.volumes[{index}].{kind}", "is a type of volumes"
    for path, context in _contexts(spec):
        if context.get("runAsNonRoot") is False:
            yield f"{path}.runAsNonRoot", "is false"
        if context.get("runAsUser") == 0:
            yield f"{path}.runAsUser", "is root"
    for path, container in _containers(spec):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation"):
            yield f"{path}.securityContext.allowPrivilegeEscalation", "is true"
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield f"{path}.securityContext.capabilities.drop", "has no ALL"
        if beyond := set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{path}.securityContext.capabilities.add", f"has {', '.join(sorted(beyond))}"
