"""What a launch's parameters ask of a pod: resources, scheduling, image, user. Each goes to its one place.

What a parameter says of a single thing beats the template, which gives a default; to lists and maps it adds, and what
the template says there stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes_kernel_provider.manifests.labels import is_ours
from remote_kernel_provider.errors import ParameterError
from remote_kernel_provider.quantity import parse_quantity

GPU = "nvidia.com/gpu"

_LABEL_NAME = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OBJECT_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OWN_KEYS = {"cpu": "cpus", "memory": "memory", GPU: "gpus"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def set_resources(container: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Set a container's requests and limits.

    Raises
    ------
    ParameterError
        When a name is none of a resource's, or a request is above its limit.
    """
    resources = container.setdefault("resources", {})
    requests = resources.setdefault("requests", {})
    limits = resources.setdefault("limits", {})
    for name, key in (("cpu", "cpus"), ("memory", "memory")):
        if key in config:
            requests[name] = config[key]
        if f"{key}_limit" in config:
            limits[name] = config[f"{key}_limit"]
    for name, quantity in {**_gpus(config), **_other_resources(config)}.items():
        requests[name] = limits[name] = quantity
    for name in requests:
        if name in limits and parse_quantity(str(requests[name])) > parse_quantity(str(limits[name])):
            key = _OWN_KEYS.get(name, "resources")
            raise ParameterError(
                f"{key} {requests[name]} is more than its limit {limits[name]}; ask for less, or raise {key}_limit",
                parameter=key,
            )
    for part in ("requests", "limits"):
        if not resources[part]:
            del resources[part]
    if not resources:
        del container["resources"]


def _gpus(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the GPUs; a cluster shares none, so what is guaranteed and what is the limit are one number."""
    said = {config[key] for key in ("gpus", "gpus_limit") if key in config}
    if len({parse_quantity(quantity) for quantity in said}) > 1:
        raise ParameterError(
            f"gpus {config['gpus']} and gpus_limit {config['gpus_limit']} differ, which no cluster allows; give one",
            parameter="gpus",
        )
    return {GPU: _whole("gpus", GPU, said.pop())} if said else {}


def _other_resources(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, quantity in config.get("resources", {}).items():
        if name in _OWN_KEYS:
            raise ParameterError(f"resources names '{name}', which is the parameter {_OWN_KEYS[name]}; use that")
        is_extended = "/" in name
        if not _LABEL_NAME.fullmatch(name) or not (is_extended or name == "ephemeral-storage" or "hugepages-" in name):
            raise ParameterError(
                f"resources names {name[:80]!r}; expected ephemeral-storage or a device, such as amd.com/gpu",
                parameter="resources",
            )
        found[name] = _whole("resources", name, quantity) if is_extended else quantity
    return found


def _whole(parameter: str, name: str, quantity: str) -> str:
    if parse_quantity(quantity) % 1:
        raise ParameterError(f"{name} comes in whole numbers, not as {quantity}; ask for one", parameter=parameter)
    return quantity


def set_scheduling(spec: dict[str, Any], config: Mapping[str, Any]) -> None:
    """Set where and when the cluster runs a pod.

    Raises
    ------
    ParameterError
        When the template has fixed what a parameter asks for, or a name is none.
    """
    for key in ("priority_class_name", "runtime_class_name"):
        # The API server takes what is no name for a failure of its own.
        if key in config and not _OBJECT_NAME.fullmatch(config[key]):
            raise ParameterError(
                f"{key} is {config[key][:80]!r}; expected small letters, digits, '-' and '.'", parameter=key
            )
    for key, field in (
        ("priority_class_name", "priorityClassName"),
        ("runtime_class_name", "runtimeClassName"),
        ("active_deadline", "activeDeadlineSeconds"),
    ):
        if key in config:
            spec[field] = config[key]
    if "node_selector" in config:
        for name, value in config["node_selector"].items():
            _check_label("node_selector", name, value)
        _add(spec.setdefault("nodeSelector", {}), config["node_selector"], "node_selector")
    if "affinity" in config:
        _add(spec.setdefault("affinity", {}), config["affinity"], "affinity")
    _extend(spec, "tolerations", config.get("tolerations", ()))


def set_image(spec: dict[str, Any], container: dict[str, Any], config: Mapping[str, Any], default: str) -> None:
    """Set the image of a kernel's container, and how it is pulled."""
    if "image_name" in config:
        container["image"] = config["image_name"]
    elif default:
        container.setdefault("image", default)
    if "pull_policy" in config:
        container["imagePullPolicy"] = config["pull_policy"]
    _extend(spec, "imagePullSecrets", [{"name": name} for name in config.get("image_pull_secrets", ())])


def set_metadata(metadata: dict[str, Any], config: Mapping[str, Any], owned: Mapping[str, Mapping[str, str]]) -> None:
    """Set labels and annotations: the template's, then the parameters', then ours.

    Raises
    ------
    ParameterError
        When a parameter names one that is ours or the template's, or that no object can have.
    """
    for name, value in config.get("labels", {}).items():
        _check_label("labels", name, value)
    for name in config.get("annotations", {}):
        if not _LABEL_NAME.fullmatch(name) or name.startswith(_APPARMOR):
            raise ParameterError(f"annotations has {name[:80]!r}, which no pod may have; leave it out")
    for kind in ("labels", "annotations"):
        said = {name: text for name, text in metadata.get(kind, {}).items() if not is_ours(name)}
        taken = next(filter(is_ours, config.get(kind, {})), None)
        if taken:
            raise ParameterError(f"{kind} has '{taken}', which is not yours to set; leave it out", parameter=kind)
        _add(said, config.get(kind, {}), kind)
        metadata[kind] = {**said, **owned[kind]}


def _check_label(parameter: str, name: str, value: str) -> None:
    if not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
        raise ParameterError(
            f"{parameter} has {name[:80]!r}: {value[:80]!r}; expected at most 63 letters, digits, '-', '_' and '.'",
            parameter=parameter,
        )


def _add(present: dict[str, Any], asked: Mapping[str, Any], parameter: str) -> None:
    for name, value in asked.items():
        if present.setdefault(name, value) != value:
            raise ParameterError(
                f"{parameter} asks for another '{name}' than the template of the pod, which has fixed it; leave it out",
                parameter=parameter,
            )


def _extend(spec: dict[str, Any], field: str, asked: Iterable[Any]) -> None:
    present = spec.get(field, [])
    added = [item for item in asked if item not in present]
    if present or added:
        spec[field] = [*present, *added]
