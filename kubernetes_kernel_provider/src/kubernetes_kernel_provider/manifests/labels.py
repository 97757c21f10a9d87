"""What is written on a pod so that any host finds it, tells whose it is, and reads its handle from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubernetes_kernel_provider.names import label_value
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.owner import Owner, OwnerSelector

PREFIX = "remote-kernel-provider/"
"""Of the labels and annotations that are ours alone."""

APP = "remote-kernel-provider"
"""The label `app` of all that is ours."""

GENERATION_LABEL = f"{PREFIX}generation"
"""Of the launch that an object belongs to."""

HOST_ANNOTATION = f"{PREFIX}host"
"""Holds exactly whose lease a lease is."""

KERNEL_ANNOTATION = f"{PREFIX}kernel"
"""Holds the kernel's handle exactly; a label can hold but 63 characters."""

_OF_THE_POD = ("namespace", "pod")
"""What a handle says of its pod; the pod need not."""

OURS = frozenset({"kernel_id", "component", "app"})
"""Labels without our prefix that are ours all the same: the gateway family's tools look for them."""


NAMESPACE = "namespace"
"""The `component` of namespaces that were made for one kernel."""


def is_ours(name: str) -> bool:
    """Whether a label or an annotation is for us to set."""
    return name in OURS or name.startswith(PREFIX)


def owner_labels(owner: Owner | OwnerSelector) -> dict[str, str]:
    """Return the labels by which the kernels of an owner are listed, or those of all owners that are meant."""
    parts = {"user": owner.user, "host": owner.host_id, "instance": owner.instance}
    return {f"{PREFIX}{name}": label_value(part) for name, part in parts.items() if part is not None}


def host_labels(owner: Owner) -> dict[str, str]:
    """Return the labels of a host, whoever its users are."""
    return owner_labels(OwnerSelector(host_id=owner.host_id, instance=owner.instance))


def kernels_selector(selector: OwnerSelector | None = None) -> str:
    """Return the label selector of what belongs to the kernels of some owners; it may match more, never less."""
    labels = {"app": APP, "component": "kernel", **owner_labels(selector or OwnerSelector())}
    return ",".join(f"{name}={value}" for name, value in labels.items())


def kernel_labels(request: KernelRequest) -> dict[str, str]:
    """Return the labels of a kernel's objects."""
    return {
        "kernel_id": label_value(request.parameters.kernel_id),
        "component": "kernel",
        "app": APP,
        GENERATION_LABEL: label_value(request.generation),
        **owner_labels(request.owner),
    }


def namespace_labels(request: KernelRequest) -> dict[str, str]:
    """Return the labels of the namespace that a kernel has to itself, and of what is made together with it."""
    return {**kernel_labels(request), "component": NAMESPACE}


def kernel_annotations(
    request: KernelRequest, lifecycle: str, created: float, written: Mapping[str, str]
) -> dict[str, str]:
    """Return the annotations of a kernel's pod: its handle, but for what the cluster alone knows.

    Parameters
    ----------
    request
        The launch.
    lifecycle
        Name of the lifecycle manager.
    created
        Unix time in seconds.
    written
        Where others find whether its host lives.
    """
    handle = KernelResource(
        lifecycle=lifecycle,
        id="",
        kernel_id=request.parameters.kernel_id,
        kernel_name=request.parameters.kernel_name,
        generation=request.generation,
        owner=request.owner,
        created=created,
        data=written,
    )
    return {KERNEL_ANNOTATION: annotation_of(handle)}


def annotation_of(resource: KernelResource) -> str:
    """Return what the annotation of a kernel's pod holds."""
    data = {name: value for name, value in resource.data.items() if name not in _OF_THE_POD}
    return json.dumps({**resource.to_json(), "id": "", "data": data})


def handle_annotation(pod: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotation that tells of what belongs to a pod whose it is, when the pod is gone."""
    return {KERNEL_ANNOTATION: pod["metadata"]["annotations"][KERNEL_ANNOTATION]}


def handle_of(item: Mapping[str, Any]) -> KernelResource | None:
    """Return the handle of the kernel that an object was made for, as it is written there; None where none is.

    Others may write there, too: of a handle for another backend nothing is believed.
    """
    try:
        handle = KernelResource.from_json(json.loads(item["metadata"]["annotations"][KERNEL_ANNOTATION]))
    except (KeyError, TypeError, ValueError):
        return None
    return handle if handle.lifecycle == KUBERNETES else None


def resource_of(pod: Mapping[str, Any]) -> KernelResource | None:
    """Return the handle of a pod's kernel; None for a pod that is none of ours.

    Parameters
    ----------
    pod
        As the API gives it.
    """
    handle, metadata = handle_of(pod), pod["metadata"]
    if handle is None:
        return None
    data = {**handle.data, "namespace": metadata["namespace"], "pod": metadata["name"]}
    return replace(handle, id=metadata["uid"], data=data)
