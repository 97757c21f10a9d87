"""The operator's settings: one traitlets class, read from config files and from the environment.

Read in this order, later wins: defaults, `jupyter_remote_kernel_config.{py,json}` on the Jupyter config path, the
environment, the application's own configuration. Nothing is read at import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from jupyter_core.paths import jupyter_config_path
from traitlets import (
    Bool,
    CaselessStrEnum,
    Dict,
    Float,
    Integer,
    List,
    TraitError,
    TraitType,
    Unicode,
    default,
    validate,
)
from traitlets.config import Config, Configurable
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME, nearest

CONFIG_FILE = "jupyter_remote_kernel_config"
"""Name of the config file, without its ending."""

ENVIRONMENT_ALIASES: Mapping[str, tuple[str, ...]] = {
    "authorized_users": ("GP_AUTHORIZED_USERS", "EG_AUTHORIZED_USERS"),
    "unauthorized_users": ("GP_UNAUTHORIZED_USERS", "EG_UNAUTHORIZED_USERS"),
    "prohibited_uids": ("GP_PROHIBITED_UIDS", "EG_PROHIBITED_UIDS"),
    "prohibited_gids": ("GP_PROHIBITED_GIDS", "EG_PROHIBITED_GIDS"),
    "launch_timeout": ("GP_LAUNCH_TIMEOUT", "EG_KERNEL_LAUNCH_TIMEOUT"),
    "port_range": ("GP_PORT_RANGE", "EG_PORT_RANGE"),
    "namespace": ("GP_NAMESPACE", "EG_NAMESPACE"),
    "shared_namespace": ("GP_SHARED_NAMESPACE", "EG_SHARED_NAMESPACE"),
    "kernel_cluster_role": ("GP_KERNEL_CLUSTER_ROLE", "EG_KERNEL_CLUSTER_ROLE"),
    "response_ip": ("GP_RESPONSE_IP", "EG_RESPONSE_IP"),
    "response_port": ("GP_RESPONSE_PORT", "EG_RESPONSE_PORT"),
    "response_port_retries": ("GP_RESPONSE_PORT_RETRIES", "EG_RESPONSE_PORT_RETRIES"),
    "mirror_working_dirs": ("GP_MIRROR_WORKING_DIRS", "EG_MIRROR_WORKING_DIRS"),
    "docker_network": ("GP_DOCKER_NETWORK", "EG_DOCKER_NETWORK"),
    "image_name": ("GP_IMAGE_NAME", "K8SKP_IMAGE_NAME"),
}
"""Peers' environment names that mean the same as a setting of ours, or for the installers as a key of a spec;
`RKP_<NAME>` beats them."""


def environment_names(setting: str) -> tuple[str, ...]:
    """Return the environment names of a setting, the strongest first."""
    return (f"RKP_{setting.upper()}", *ENVIRONMENT_ALIASES.get(setting, ()))


class RemoteKernelSettings(Configurable):
    """What the operator decides for all kernels of a host."""

    transport_encryption = CaselessStrEnum(
        ["auto", "required", "disabled"],
        default_value="auto",
        help="""Encryption of the kernels' channels by CurveZMQ: 'auto' encrypts where the client and the kernel can;
        'required' refuses to start a kernel in the clear; 'disabled' never encrypts. Default: auto. Clients of plain
        jupyter_kernel_mgmt know no CURVE: for them 'auto' encrypts only where they ask.""",
    ).tag(config=True)
    launch_timeout = Float(
        30.0,
        help="""Seconds that a kernel has to answer from the moment it starts. Default: 30. A spec, a profile or a
        client may set another; see also wait_timeout.""",
    ).tag(config=True)
    wait_timeout = Float(
        600.0,
        help="""Seconds that a kernel may wait for its image or for room before it starts. Default: 600.""",
    ).tag(config=True)
    delete_grace = Float(
        5.0,
        help="""Seconds between the polite request to end and the end by force. Default: 5.""",
    ).tag(config=True)
    log_tail = Integer(
        20,
        help="""Lines of a kernel's output that are kept with a failed launch. Default: 20. They may hold secrets of the
        user and are shown only to whoever launched the kernel.""",
    ).tag(config=True)
    authorized_users = List(
        Unicode(),
        help="""Names of the users who may launch kernels. Default: empty = everyone. unauthorized_users beats it.""",
    ).tag(config=True)
    unauthorized_users = List(
        Unicode(),
        default_value=None,
        allow_none=True,
        help="""Names of the users who may not launch kernels. Default: root, where a client only claims to be root; a
        list that is set also refuses the operating system's user who runs the host.""",
    ).tag(config=True)
    allowed_kernels = List(
        Unicode(),
        default_value=["*"],
        help="""Shell patterns of the kernels of our providers that are listed and may be launched: ["local/*",
        "k8skp/python*"]. A profile has a name of its own, 'k8skp/python.48g'. Default: * = all; empty = none. Ordinary
        kernels of Jupyter Server have KernelSpecManager.allowed_kernelspecs.""",
    ).tag(config=True)
    allowed_kernels_by_user = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        help="""For some users, by name, patterns in the place of allowed_kernels: {"ada": ["*"]}. The user is whom the
        server authenticated, else the operating system's or the one that the client claims to be. Default: none.""",
    ).tag(config=True)
    prohibited_uids = List(
        Integer(), default_value=[0], help="""User ids that no kernel may run as. Default: 0."""
    ).tag(config=True)
    prohibited_gids = List(
        Integer(), default_value=[0], help="""Group ids that no kernel may run as. Default: 0."""
    ).tag(config=True)
    client_parameters = List(
        Unicode(),
        help="""Parameters that clients may set although a spec's schema does not name them, such as 'image'.
        Default: empty. Without a schema, the processors, memory, GPUs, launch time-out and working directory may be set
        anyhow.""",
    ).tag(config=True)
    maxima = Dict(
        key_trait=Unicode(),
        help="""Largest value of a parameter, whoever set it: {"memory": "64Gi", "cpus": 8, "launch_timeout": 300}.
        Default: none.""",
    ).tag(config=True)
    allowed_values = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        help="""Shell patterns of which a parameter's value must match one, whoever set it:
        {"image": ["quay.io/acme/*"]}. Default: none = any value.""",
    ).tag(config=True)
    profiles = Dict(
        key_trait=Unicode(),
        value_trait=Dict(),
        help="""Variants of kernel specs, offered beside them: {"local/python": {"patient": {"display_name": "Python,
        patient", "parameters": {"launch_timeout": 300}}}} is listed as 'local/python.patient'. Default: none.""",
    ).tag(config=True)
    port_range = Unicode(
        "0..0",
        help="""Range lower..upper of the kernels' ports; 0..0 = any free port.
        Default: 0..0.""",
    ).tag(config=True)
    namespace = Unicode(
        "",
        help="""Namespace of the kernels' pods. Default: empty = that of the host's own account or kubeconfig
        context.""",
    ).tag(config=True)
    kubernetes_context = Unicode(
        "",
        help="""Context of the kubeconfig ($KUBECONFIG, else ~/.kube/config) whose cluster runs the kernels. Default:
        empty = the current one; without a kubeconfig, the cluster that this host runs in.""",
    ).tag(config=True)
    kubernetes_route = CaselessStrEnum(
        ["auto", "direct", "port-forward"],
        default_value="auto",
        help="""How this host reaches its pods: 'direct' at their addresses, 'port-forward' through the API server.
        'auto' tries each pod's address, for a second at most, until a kernel has proven which way works. Default:
        auto.""",
    ).tag(config=True)
    shared_namespace = Bool(
        True,
        help="""Whether all kernels run in one namespace; then no client chooses namespace or service account.
        Default: True. When False, a kernel runs in the namespace that its client names (KERNEL_NAMESPACE), within
        allowed_namespaces, and has a new one to itself where none is named: see namespace_template.""",
    ).tag(config=True)
    namespace_template = Unicode(
        "",
        help="""File of the template by which the namespaces are made that kernels have to themselves, with role
        bindings, quotas and network policies. Default: empty = the one of the Kubernetes package.""",
    ).tag(config=True)
    kernel_cluster_role = Unicode(
        "",
        help="""ClusterRole that is bound to a kernel's service account in a namespace which the kernel has to itself.
        Default: empty = none. 'cluster-admin' is refused.""",
    ).tag(config=True)
    end_with_workload = Bool(
        False,
        help="""Whether the cluster ends the kernels of a host in it together with the Deployment or StatefulSet that
        the host's pod belongs to: those kernels that run in the host's own namespace. Default: False.""",
    ).tag(config=True)
    allowed_namespaces = List(
        Unicode(),
        help="""Shell patterns of the namespaces that clients may name where shared_namespace is False; {username}
        stands for the user's name as a cluster writes it: ["team-*", "user-{username}"]. Default: empty = none.""",
    ).tag(config=True)
    allowed_service_accounts = List(
        Unicode(),
        help="""Shell patterns of the service accounts that clients may name, with {username} as in allowed_namespaces.
        Default: empty = none. The host's own account is always refused.""",
    ).tag(config=True)
    allowed_volume_types = List(
        Unicode(),
        default_value=["configMap", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"],
        help="""Types of the volumes that the parameter 'volumes' may name; what a template says is not bounded by it.
        Default: configMap, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim. With 'secret' or 'projected' users
        can read the namespace's Secrets; with 'hostPath' they own its nodes.""",
    ).tag(config=True)
    pod_security = CaselessStrEnum(
        ["restricted", "baseline", "privileged"],
        default_value="restricted",
        help="""Pod security level of Kubernetes that every kernel's pod has to pass, whatever its template says.
        Default: restricted.""",
    ).tag(config=True)
    response_ip = Unicode(
        "",
        help="""IPv4 address at which kernels with the reported handshake reach this host. Default: empty = chosen for
        each backend (127.0.0.1 for local ones).""",
    ).tag(config=True)
    response_bind_ip = Unicode(
        "",
        help="""Address that the response listener binds to, where it differs from response_ip (behind address
        translation). Default: empty = the same.""",
    ).tag(config=True)
    response_port = Integer(
        0,
        help="""First port that the response listener tries. Default: 0 = any free port.""",
    ).tag(config=True)
    response_port_retries = Integer(
        10,
        help="""How many ports after response_port are tried when it is taken. Default: 10.""",
    ).tag(config=True)
    mirror_working_dirs = Bool(
        False,
        help="""Whether a container's working directory is the client's: true where the same paths are mounted into the
        kernels. Default: False; Docker hears the parameter working_dir anyhow.""",
    ).tag(config=True)
    docker_host = Unicode(
        "",
        help="""The Docker engine: unix:///…, tcp://host:port or ssh://user@host, with the path of its socket there if
        it is not the usual one. Default: empty = as the Docker command line finds it: DOCKER_HOST, else the Docker
        context.""",
    ).tag(config=True)
    docker_route = CaselessStrEnum(
        ["auto", "address", "published"],
        default_value="auto",
        help="""How this host reaches kernels in Docker: 'address' connects to the container's own address; 'published'
        has the engine publish its ports; 'auto' takes the address where it can be reached. 'doctor' says which and why.
        Default: auto.""",
    ).tag(config=True)
    docker_publish_ip = Unicode(
        "",
        help="""Address of the engine's machine on which ports of kernels are published. Default: empty = 127.0.0.1 for
        an engine on this machine or behind ssh, else the address at which this host reaches the engine.""",
    ).tag(config=True)
    docker_network = Unicode(
        "",
        help="""Network of Docker that kernels join unless their spec names others. Default: empty = the engine's
        default, 'bridge'.""",
    ).tag(config=True)
    docker_networks = List(
        Unicode(),
        default_value=["*"],
        help="""Shell patterns of the networks that kernels in Docker may join. Default: * = all but the network of the
        engine's machine, which must be named: ["*", "host"].""",
    ).tag(config=True)
    docker_volumes = List(
        Unicode(),
        help="""Shell patterns of what may be mounted into kernels in Docker: names of volumes, and paths of the
        engine's machine. '{username}' is the user's name; ':ro' at the end allows it only read-only:
        ["home-{username}", "/data/*:ro"]. What holds the engine's socket must be named without a wildcard.
        Default: none.""",
    ).tag(config=True)
    docker_capabilities = List(
        Unicode(),
        help="""Linux capabilities that kernels in Docker keep: ["NET_RAW"]. Default: none.""",
    ).tag(config=True)
    docker_new_privileges = Bool(
        False,
        help="""Whether programs in a kernel's container may gain privileges, as sudo does. Default: False.""",
    ).tag(config=True)
    docker_pids_limit = Integer(
        4096,
        help="""Processes and threads that a kernel in Docker may have; 0 = any number. Default: 4096.""",
    ).tag(config=True)
    sweep = Bool(
        True,
        help="""Whether a host's first launch removes what proven-dead hosts of the same user left behind.
        Default: True.""",
    ).tag(config=True)
    sweep_servers_after = Float(
        86400.0,
        help="""Seconds after which the kernels of a dead server are swept: until then it may come back and adopt
        them. Default: 86400 (a day). Kernels of dead client programs are swept at once.""",
    ).tag(config=True)
    on_server_stop = CaselessStrEnum(
        ["delete", "keep"],
        help="""What becomes of a Jupyter server's kernels when it is stopped in order: 'delete' ends them; 'keep' lets
        them run until a server on the same port adopts them. Default: keep in a Kubernetes cluster, else delete. After
        a crash they are kept anyhow.""",
    ).tag(config=True)
    data_folder = Unicode(
        "",
        help="""Folder of this user's host identity and locks. Default: empty = 'remote-kernels' in the Jupyter data
        folder.""",
    ).tag(config=True)

    @default("on_server_stop")
    def _default_on_server_stop(self) -> str:
        return "keep" if os.environ.get("KUBERNETES_SERVICE_HOST") else "delete"

    @validate("port_range")
    def _valid_port_range(self, proposal: Any) -> str:
        return str(_normal("port_range", proposal["value"]) and proposal["value"])

    @validate("kernel_cluster_role")
    def _valid_kernel_cluster_role(self, proposal: Any) -> str:
        if proposal["value"] == "cluster-admin":
            raise TraitError("kernel_cluster_role is never 'cluster-admin'; name a role with what kernels need")
        return str(proposal["value"])

    @validate("launch_timeout", "wait_timeout")
    def _valid_seconds(self, proposal: Any) -> float:
        return float(_normal("launch_timeout", proposal["value"]))

    @validate("profiles")
    def _valid_profiles(self, proposal: Any) -> dict[str, Any]:
        for kernel, variants in proposal["value"].items():
            for name, profile in variants.items():
                if not isinstance(profile, Mapping) or set(profile) - {"display_name", "parameters"}:
                    raise TraitError(f"profile '{name}' of '{kernel}' may have 'display_name' and 'parameters' only")
        return dict(proposal["value"])


def _normal(key: str, value: Any) -> Any:
    try:
        return BY_NAME[key].read(value)
    except ValueError as error:
        raise TraitError(f"{key} must be {error}, not {value!r}") from None


def load_settings(config: Config | None = None, environment: Mapping[str, str] | None = None) -> RemoteKernelSettings:
    """Read the settings.

    Parameters
    ----------
    config
        The application's own configuration; beats files and environment.
    environment
        By default the process's.

    Raises
    ------
    ConfigurationError
        When a file cannot be read, or a setting is unknown or has a wrong value.
    """
    merged = Config()
    for folder in reversed(jupyter_config_path()):
        for loader in (PyFileConfigLoader, JSONFileConfigLoader):
            ending = "py" if loader is PyFileConfigLoader else "json"
            try:
                merged.merge(loader(f"{CONFIG_FILE}.{ending}", path=folder).load_config())
            except ConfigFileNotFound:
                continue
            except Exception as error:  # a config file is a program of the operator's: anything can happen in it
                raise ConfigurationError(f"{folder}/{CONFIG_FILE}.{ending} cannot be read: {error}") from error
    said = merged.get("RemoteKernelSettings", {})
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"RemoteKernelSettings in {CONFIG_FILE} must hold settings by name, not {said!r}")
    section = Config(said)
    section.merge(_from_environment(os.environ if environment is None else environment))
    if config is not None:
        section.merge(config.get("RemoteKernelSettings", {}))
    known = RemoteKernelSettings.class_traits(config=True)
    for name in section:
        if name not in known:
            raise ConfigurationError(f"RemoteKernelSettings has no setting '{name}'{nearest(name, known)}")
    try:
        return RemoteKernelSettings(config=Config(RemoteKernelSettings=section))
    except TraitError as error:
        raise ConfigurationError(f"a setting is wrong: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for setting, trait in RemoteKernelSettings.class_traits(config=True).items():
        for name in environment_names(setting):
            if environment.get(name):
                values[setting] = _parse(trait, name, environment[name])
                break
    return values


def _parse(trait: TraitType[Any, Any], name: str, text: str) -> Any:
    """Read an environment value: JSON for mappings, commas for lists, as the gateway family writes them."""
    try:
        if isinstance(trait, Dict):
            return json.loads(text)
        if isinstance(trait, List):
            words = [word.strip() for word in text.strip().strip("[]").split(",")]
            words = [word.strip("'\"") for word in words if word]
            return [int(word) for word in words] if isinstance(trait._trait, Integer) else words
        return trait.from_string(text)
    except (ValueError, TraitError) as error:
        raise ConfigurationError(f"the environment's {name}={text!r} cannot be read: {error}") from None
