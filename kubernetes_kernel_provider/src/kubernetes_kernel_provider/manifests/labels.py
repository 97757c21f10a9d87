"""What is written on a pod so that any host finds it, tells whose it is, and reads its handle from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes_kernel_provider.names import label_value
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.owner import Owner, OwnerSelector

PREFIX = "remote-kernel-provider/"
"""Of the labels and annotations that are ours alone."""

KERNEL_ANNOTATION = f"{PREFIX}kernel"
"""Holds the kernel's handle exactly; a label can hold but 63 characters."""

OURS = frozenset({"kernel_id", "component", "app"})
"""Labels without our prefix that are ours all the same: the gateway family's tools look for them."""


def is_ours(name: str) -> bool:
    """Whether a label or an annotation is for us to set."""
    return name in OURS or name.startswith(PREFIX)


def owner_labels(owner: Owner | OwnerSelector) -> dict[str, str]:
    """Return the labels by which the kernels of an owner are listed, or those of all owners that are meant."""
    parts = {"user": owner.user, "host": owner.host_id, "instance": owner.instance}
    return {f"{PREFIX}{name}": label_value(part) for name, part in parts.items() if part is not None}


def kernel_labels(request: KernelRequest) -> dict[str, str]:
    """Return the labels of a kernel's objects."""
    return {
        "kernel_id": label_value(request.parameters.kernel_id),
        "component": "kernel",
        "app": "remote-kernel-provider",
        f"{PREFIX}generation": label_value(request.generation),
        **owner_labels(request.owner),
    }


def kernel_annotations(request: KernelRequest, lifecycle: str, created: float) -> dict[str, str]:
    """Return the annotations of a kernel's pod: its handle, but for what the cluster alone knows.

    Parameters
    ----------
    request
        The launch.
    lifecycle
        Name of the lifecycle manager.
    created
        Unix time in seconds.
    """
    handle = KernelResource(
        lifecycle=lifecycle,
        id="",
        kernel_id=request.parameters.kernel_id,
        kernel_name=request.parameters.kernel_name,
        generation=request.generation,
        owner=request.owner,
        created=created,
    )
    return {KERNEL_ANNOTATION: annotation_of(handle)}


def annotation_of(resource: KernelResource) -> str:
    """Return what the annotation of a kernel's pod holds."""
    return json.dumps({**resource.to_json(), "id": "", "data": {}})


def resource_of(pod: Mapping[str, Any]) -> KernelResource | None:
    """Return the handle of a pod's kernel; None for a pod that is none of ours.

    Parameters
    ----------
    pod
        As the API gives it.
    """
    metadata = pod["metadata"]
    try:
        handle = KernelResource.from_json(json.loads(metadata["annotations"][KERNEL_ANNOTATION]))
    except (KeyError, TypeError, ValueError):
        return None
    place = {"namespace": metadata["namespace"], "pod": metadata["name"]}
    return KernelResource.from_json({**handle.to_json(), "id": metadata["uid"], "data": place})
