"""What is written on everything that we create in an engine, and read from it again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.owner import Owner, OwnerSelector

APPLICATION = "remote-kernel-provider"
PREFIX = f"{APPLICATION}."
_FIELDS = ("lifecycle", "kernel_id", "kernel_name", "generation", "created")
_OWNER = ("user", "host_id", "instance")


def resource_of_request(lifecycle: str, request: KernelRequest, created: float) -> KernelResource:
    """Return the handle of a kernel that is about to be created; its id is the name it will have in the engine.

    The engine's own ids exist only when a container does, and a kernel whose image is on the way has none yet.
    """
    parameters = request.parameters
    words = ("jupyter", parameters.identity.user[:20], parameters.kernel_id[:40], request.generation)
    return KernelResource(
        lifecycle=lifecycle,
        id="-".join(filter(None, (re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-.") for word in words))),
        kernel_id=parameters.kernel_id,
        kernel_name=parameters.kernel_name,
        generation=request.generation,
        owner=request.owner,
        created=created,
    )


def labels_of(resource: KernelResource) -> dict[str, str]:
    """Return the labels of a kernel."""
    named = {f"{PREFIX}{name}": str(getattr(resource, name)) for name in _FIELDS}
    owner = {f"{PREFIX}{name}": str(getattr(resource.owner, name)) for name in _OWNER}
    return {"app": APPLICATION, "component": "kernel", "kernel_id": resource.kernel_id, **named, **owner}


def resource_of_labels(name: str, labels: Mapping[str, str]) -> KernelResource | None:
    """Read what `labels_of` wrote; None when it is something else."""
    try:
        fields = {field: labels[f"{PREFIX}{field}"] for field in _FIELDS}
        owner = Owner(**{field: labels[f"{PREFIX}{field}"] for field in _OWNER})
        created = float(fields.pop("created"))
        return KernelResource(id=name, owner=owner, created=created, **fields)  # type: ignore[arg-type]  # all texts
    except (KeyError, ValueError):
        return None


def filters_of(lifecycle: str, selector: OwnerSelector) -> list[str]:
    """Return the label filters of a backend's kernels of some owners; the instance can have changed since."""
    filters = [f"app={APPLICATION}", f"{PREFIX}lifecycle={lifecycle}"]
    if selector.host_id is not None:
        filters.append(f"{PREFIX}host_id={selector.host_id}")
    return filters
