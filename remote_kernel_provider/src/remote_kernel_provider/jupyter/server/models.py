"""What our end points say of a kernel and of a launch, as JSON; the schemas are in `openapi.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from remote_kernel_provider.jupyter.server.launches import Launch
from remote_kernel_provider.kernelspecs.stock import kernel_behind
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.owner import ALIVE, DEAD
from remote_kernel_provider.running import FoundKernel

_IS_ALIVE: Mapping[str, bool] = {ALIVE: True, DEAD: False}


@dataclass(frozen=True)
class Detail:
    """What is known of a kernel beside its backend's status.

    Parameters
    ----------
    where
        The place, in words.
    limits
        The resources that it was given, by their parameters' names.
    request
        What its client asked for; empty where nothing is kept.
    """

    where: str
    limits: Mapping[str, str]
    request: Mapping[str, Any] = field(repr=False)


class Names:
    """The kernels of ours that the server lists, by the names that backends know.

    Parameters
    ----------
    listed
        What the spec manager lists.
    """

    def __init__(self, listed: Mapping[str, Any]) -> None:
        self._display_names = {name: str(entry["spec"]["display_name"]) for name, entry in listed.items()}
        kernels = {name: kernel_behind(entry["spec"]["metadata"]) for name, entry in listed.items()}
        self._by_kernel = {kernel: name for name, kernel in kernels.items() if kernel}

    def of(self, kernel_name: str, listed_as: str = "") -> tuple[str, str]:
        """Return the name and the display name of a kernel; what is not listed has no name.

        Parameters
        ----------
        kernel_name
            `provider/spec`.
        listed_as
            The name by which it was started.
        """
        name = listed_as if listed_as in self._display_names else self._by_kernel.get(kernel_name, "")
        return name, self._display_names.get(name, kernel_name)


def kernel_model(
    found: FoundKernel, detail: Detail, names: Names, *, execution_state: str | None, path: str, here: bool
) -> dict[str, Any]:
    """Return the model of a running kernel.

    Parameters
    ----------
    found, detail, names
        What is known of it.
    execution_state, path
        What the server knows of a kernel of its own: None and empty for all others.
    here
        Whether it is the server's own.
    """
    resource, status = found.resource, found.status
    name, display_name = names.of(resource.kernel_name, detail.request.get("listed_as", ""))
    return {
        "id": resource.kernel_id,
        "name": name,
        "display_name": display_name,
        "kernel": resource.kernel_name,
        "provider": resource.kernel_name.partition("/")[0],
        "where": detail.where,
        "since": datetime.fromtimestamp(resource.created, timezone.utc).isoformat(timespec="seconds"),
        "phase": status.phase.value,
        "message": "" if status.phase is Phase.RUNNING else status.sentence(),
        "execution_state": execution_state,
        "path": path,
        "limits": dict(detail.limits),
        "here": here,
        "owner": asdict(resource.owner),
        "owner_alive": _IS_ALIVE.get(found.host),
    }


def launch_model(launch: Launch, path: str) -> dict[str, Any]:
    """Return the model of a launch under way."""
    subject, status = launch.subject, launch.status
    return {
        "id": subject.id,
        "name": subject.name,
        "display_name": subject.display_name,
        "phase": status.phase.value,
        "message": status.message,
        "seconds": launch.seconds,
        "restart": launch.restart,
        "path": path,
    }
