"""What becomes of a service's one task: the statuses of kernels in a Swarm.

A task's states are no events. What a container of this engine does is one, so such a task is looked at when its
container does something. A task on another node is looked at every few seconds, and whenever a node comes or goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from docker_kernel_provider.engine import Engine
from docker_kernel_provider.status import explain_refusal, status_of
from docker_kernel_provider.swarm.service import command_of
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.lifecycle import KernelStatus, Phase

if TYPE_CHECKING:
    from docker import APIClient

_SERVICE_OF_CONTAINER = "com.docker.swarm.service.name"


@dataclass(frozen=True)
class Seen:
    """A task at one moment.

    Parameters
    ----------
    task
        What the Swarm says of it; None while there is none.
    container
        What this engine says of its container; None where it has none.
    """

    task: Mapping[str, Any] | None
    container: Mapping[str, Any] | None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is on another node."""
        return self.task is not None and self.container is None and self.task["Status"]["State"] == "running"

    @property
    def status(self) -> KernelStatus:
        """The kernel's status."""
        if self.container is not None and self.container["State"].get("Status") != "created":
            # The engine says more than the Swarm, and earlier.
            return status_of({**self.container, "Path": command_of(self.container)})
        return KernelStatus(Phase.PENDING) if self.task is None else status_of_task(self.task)


class Tasks:
    """The tasks of a Swarm; see `watch.Subject`.

    Parameters
    ----------
    engine
        A manager's.
    """

    events: ClassVar[Mapping[str, Any]] = {
        "type": ["container", "service"],
        "event": ["start", "kill", "die", "oom", "destroy", "pause", "unpause", "remove"],
    }

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.elsewhere: set[str] = set()
        """The services whose tasks are on other nodes."""

    def name_of(self, event: Mapping[str, Any]) -> str:
        """Return the name of the service."""
        attributes = event.get("Actor", {}).get("Attributes", {})
        return str(attributes.get(_SERVICE_OF_CONTAINER if event.get("Type") == "container" else "name", ""))

    def is_end(self, event: Mapping[str, Any]) -> bool:
        """Whether the service was removed."""
        return event.get("Type") == "service" and event.get("Action") == "remove"

    async def status(self, name: str) -> KernelStatus:
        """Look at the task, and at its container where this engine has it."""
        seen = await self.see(name)
        (self.elsewhere.add if seen.is_elsewhere else self.elsewhere.discard)(name)
        return seen.status

    async def see(self, name: str) -> Seen:
        """Look at the task of a service."""
        return await self._engine.run(_see, name)


def _see(client: APIClient, name: str) -> Seen:
    from docker.errors import NotFound

    tasks: list[dict[str, Any]] = client.tasks(filters={"service": name})
    task = max(tasks, key=lambda task: str(task["CreatedAt"]), default=None)
    container = None
    container_id = (task or {}).get("Status", {}).get("ContainerStatus", {}).get("ContainerID")
    if container_id:
        try:
            container = client.inspect_container(container_id)
        except NotFound:
            container = None
    return Seen(task, container)


_UNDER_WAY = {
    "new": (Phase.PENDING, "it waits for a node of the Swarm"),
    "allocated": (Phase.PENDING, "it waits for a node of the Swarm"),
    "pending": (Phase.PENDING, "it waits for a node of the Swarm"),
    "assigned": (Phase.PENDING, "its node is about to take it"),
    "accepted": (Phase.PENDING, "its node is about to take it"),
    "preparing": (Phase.PULLING, "its node prepares it, and pulls its image if it has to"),
    "ready": (Phase.STARTING, ""),
    "starting": (Phase.STARTING, ""),
}


def status_of_task(task: Mapping[str, Any]) -> KernelStatus:
    """Return what a task's state says of its kernel."""
    said = task["Status"]
    state, error = str(said["State"]), str(said.get("Err") or "")
    if state in _UNDER_WAY:
        phase, message = _UNDER_WAY[state]
        if error:
            # A node may come, or room: it goes on waiting.
            remedy = "change 'constraints' or what it asks for, or have a node that fits"
            return KernelStatus(phase, reason="Unschedulable", message=f"{error}; {remedy}")
        return KernelStatus(phase, message=message)
    if state == "running":
        if task.get("DesiredState") == "running":
            return KernelStatus(Phase.RUNNING)
        return KernelStatus(
            Phase.FAILED,
            reason="NodeLost",
            message="the Swarm has given it up: its node is drained or does not answer; start it again",
        )
    code = int(said.get("ContainerStatus", {}).get("ExitCode", 0))
    if state == "complete" or (state == "failed" and re.search(r"non-zero exit", error)):
        return explain_exit(128 - code if 128 < code <= 192 else code, False)
    if error:
        status = explain_refusal(error)
        return replace(status, reason="Rejected") if status.reason == "EngineRefused" else status
    return KernelStatus(Phase.FAILED, reason="Ended", message=f"the Swarm has ended it (its task is {state})")
