"""The one table of configuration keys: what a spec, a profile or a client can set, and where it takes effect.

Validation, help texts, the installers and the reference page are made from it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remote_kernel_provider.quantity import parse_quantity
from remote_kernel_provider.structured_text import parse_structure

LOCAL, DOCKER, SWARM, KUBERNETES, SPARK = "local", "docker", "docker-swarm", "kubernetes", "spark-operator"
EVERYWHERE = frozenset({LOCAL, DOCKER, SWARM, KUBERNETES, SPARK})
CONTAINERS = EVERYWHERE - {LOCAL}
PODS = frozenset({KUBERNETES, SPARK})
ENGINES = frozenset({DOCKER, SWARM})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(isinstance(word, str) for word in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _integer(value: Any) -> int:
    """Read an integer in one spelling only, so that no other spelling slips past a comparison."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]*", value):
        return int(value)
    raise ValueError("a non-negative integer in plain decimal digits")


def _identifier(value: Any) -> int:
    number = _integer(value)
    if not 0 <= number < 2**32 - 1:
        raise ValueError("a user or group id")
    return number


def _user(value: Any) -> int | str:
    return "image" if value == "image" else _identifier(value)


def _identifiers(value: Any) -> tuple[int, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise ValueError("a list of user or group ids")
    return tuple(_identifier(item.strip() if isinstance(item, str) else item) for item in items)


def _seconds(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number of seconds") from None
    if isinstance(value, bool) or not 0 < number < 10**7:
        raise ValueError("a positive number of seconds")
    return number


def _quantity(value: Any) -> str:
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _text(value)
    parse_quantity(text)
    return text


def _ports(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*\.\.\s*([0-9]{1,5})\s*", value) if isinstance(value, str) else None
    if not match:
        raise ValueError("lower..upper, such as 33000..34000, or 0..0 for any")
    lower, upper = int(match[1]), int(match[2])
    if not 0 <= lower <= upper <= 65535 or (0 < lower < 1024):
        raise ValueError("a range lower..upper between 1024 and 65535, or 0..0 for any")
    return lower, upper


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = _structure(value, "a list, in JSON or YAML")
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _structure(value, "an object, in JSON or YAML")
    if not isinstance(value, Mapping):
        raise ValueError("an object")
    return dict(value)


def _structure(text: str, expected: str) -> Any:
    try:
        return parse_structure(text)
    except ValueError:
        raise ValueError(expected) from None


def _texts(value: Any) -> dict[str, str]:
    texts = _object(value)
    if not all(isinstance(text, str) for text in (*texts, *texts.values())):
        raise ValueError("an object of texts")
    return texts


def _quantities(value: Any) -> dict[str, str]:
    return {name: _quantity(quantity) for name, quantity in _object(value).items()}


def _deadline(value: Any) -> int:
    number = _integer(value)
    if not 0 < number < 2**31:
        raise ValueError("a positive number of whole seconds")
    return number


def _choice(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return read


@dataclass(frozen=True)
class ConfigKey:
    """One row of the table.

    Parameters
    ----------
    name
        Key in a spec's `config`.
    read
        Turns a value into its normal form, or raises ValueError with what is expected.
    expected
        The type, in words, for help and reference.
    meaning
        One sentence.
    backends
        Lifecycle managers in which it takes effect.
    parameter
        Name by which a client sets it: `launch_params["memory"]` = `KERNEL_MEMORY`; empty = not a client's.
    free
        Whether a client may set it when the spec has no schema.
    """

    name: str
    read: Callable[[Any], Any]
    expected: str
    meaning: str
    backends: frozenset[str] = EVERYWHERE
    parameter: str = ""
    free: bool = False

    @property
    def variable(self) -> str:
        """The environment name by which a client sets it; empty = not a client's."""
        return f"KERNEL_{self.parameter.upper()}" if self.parameter else ""


def _resource(name: str, what: str, backends: frozenset[str] = CONTAINERS) -> tuple[ConfigKey, ConfigKey]:
    return (
        ConfigKey(name, _quantity, "quantity", f"{what} that the kernel is guaranteed.", backends, name, True),
        ConfigKey(
            f"{name}_limit", _quantity, "quantity", f"{what} that it cannot exceed.", backends, f"{name}_limit", True
        ),
    )


CONFIG_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "handshake", _choice("assigned", "reported"), "assigned or reported", "Who chooses the kernel's ports and keys."
    ),
    ConfigKey(
        "connection_file",
        _choice("mounted", "copied"),
        "mounted or copied",
        "Whether the kernel may write to its connection file; by default with encrypted channels, in Docker always.",
        PODS | {SWARM},
    ),
    ConfigKey(
        "launch_timeout",
        _seconds,
        "seconds",
        "Time that the kernel has to answer from the moment it starts.",
        parameter="launch_timeout",
        free=True,
    ),
    ConfigKey("wait_timeout", _seconds, "seconds", "Time that it may wait for an image or for room.", CONTAINERS),
    ConfigKey("port_range", _ports, "lower..upper", "Range of the kernel's ports; 0..0 = any."),
    ConfigKey("authorized_users", _words, "list of names", "Users who may launch it; empty = everyone."),
    ConfigKey("unauthorized_users", _words, "list of names", "Users who may not; beats authorized_users."),
    ConfigKey("prohibited_uids", _identifiers, "list of ids", "User ids that it may not run as."),
    ConfigKey("prohibited_gids", _identifiers, "list of ids", "Group ids that it may not run as."),
    ConfigKey(
        "transport_encryption",
        _choice("auto", "required", "disabled"),
        "auto, required or disabled",
        "Whether the channels are encrypted by CurveZMQ.",
    ),
    ConfigKey("uid", _user, "user id, or image", "User id that it runs as; image = the image's own.", parameter="uid"),
    ConfigKey("gid", _identifier, "group id", "Group id that it runs as.", parameter="gid"),
    ConfigKey("groups", _identifiers, "list of ids", "Group ids that it has beside its own.", ENGINES, "groups"),
    ConfigKey(
        "working_dir", _text, "path", "Working directory; in a container, a path in it.",
        parameter="working_dir", free=True,
    ),
    ConfigKey("image_name", _text, "image", "Image of the kernel.", CONTAINERS, "image"),
    ConfigKey("executor_image_name", _text, "image", "Image of Spark's executors.", PODS, "executor_image"),
    *_resource("cpus", "Processors"),
    *_resource("memory", "Memory"),
    *_resource("gpus", "GPUs (nvidia.com/gpu)"),
    ConfigKey(
        "resources", _quantities, "object of quantities",
        "Other resources by their names, such as amd.com/gpu or ephemeral-storage: as much is guaranteed, and no more.",
        PODS, "resources",
    ),
    ConfigKey("volumes", _list, "list", "Volumes, checked against policy.", CONTAINERS, "volumes"),
    ConfigKey("volume_mounts", _list, "list", "Where they are mounted.", PODS, "volume_mounts"),
    ConfigKey("shm_size", _quantity, "quantity", "Size of its /dev/shm.", CONTAINERS, "shm_size"),
    ConfigKey(
        "networks", _words, "list of names", "Networks that it joins; the first is the one of its ports.", ENGINES,
        "networks",
    ),
    ConfigKey("labels", _texts, "object of texts", "Labels beside ours.", CONTAINERS, "labels"),
    ConfigKey(
        "constraints", _words, "list of constraints", "Nodes of the Swarm for it: node.labels.gpu==true.",
        frozenset({SWARM}), "constraints",
    ),
    ConfigKey("platform", _text, "os/architecture", "Platform of the image: linux/arm64.", ENGINES, "platform"),
    ConfigKey(
        "pull_policy",
        _choice("Always", "IfNotPresent", "Never"),
        "Always, IfNotPresent or Never",
        "When its image is pulled; unless given, as the backend does.",
        CONTAINERS,
        "pull_policy",
    ),
    ConfigKey("pod_name", _text, "template", "Template of the pod's name.", PODS, "pod_name"),
    ConfigKey("namespace", _text, "name", "Namespace of the pod.", PODS, "namespace"),
    ConfigKey(
        "service_account_name", _text, "name", "Service account of the pod.", PODS, "service_account_name"
    ),
    ConfigKey("fs_group", _identifier, "group id", "Group that the pod's volumes belong to.", PODS, "fs_group"),
    ConfigKey(
        "image_pull_secrets", _words, "list of names", "Secrets with which it is pulled.", PODS, "image_pull_secrets"
    ),
    ConfigKey("node_selector", _texts, "object of texts", "Labels of the nodes for it.", PODS, "node_selector"),
    ConfigKey("tolerations", _list, "list", "Taints of nodes that it tolerates.", PODS, "tolerations"),
    ConfigKey("affinity", _object, "object", "Nodes and pods that it is drawn to.", PODS, "affinity"),
    ConfigKey("priority_class_name", _text, "name", "Priority class of the pod.", PODS, "priority_class_name"),
    ConfigKey("runtime_class_name", _text, "name", "Runtime class of the pod.", PODS, "runtime_class_name"),
    ConfigKey("annotations", _texts, "object of texts", "More annotations of the pod.", PODS, "annotations"),
    ConfigKey(
        "active_deadline", _deadline, "whole seconds", "Time after which the cluster ends it.", PODS, "active_deadline"
    ),
    ConfigKey(
        "spark_context_init_mode",
        _choice("none", "lazy", "eager"),
        "none, lazy or eager",
        "When a Spark context is made.",
        parameter="spark_context_init_mode",
    ),
    ConfigKey("extra_spark_opts", _text, "text", "More options of spark-submit.", PODS, "extra_spark_opts"),
    ConfigKey("class_name", _text, "dotted name", "Subclass of ipykernel's kernel that the launcher runs.",
              parameter="class_name"),
)  # fmt: skip

BY_NAME: Mapping[str, ConfigKey] = {key.name: key for key in CONFIG_KEYS}
BY_PARAMETER: Mapping[str, ConfigKey] = {key.parameter: key for key in CONFIG_KEYS if key.parameter}
RESOURCES: tuple[ConfigKey, ...] = tuple(key for key in CONFIG_KEYS if key.read is _quantity)
"""What a kernel can be given more or less of."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word most like this one, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""
