"""What a backend is: the interface `LifecycleManager`, and the values that go through it.

One lifecycle manager exists per process and backend, and all its coroutines run on the private loop. It owns the
backend's client and the one watch that feeds all kernels; what it knows of a single kernel is in a `KernelResource`,
which can be written down and found again by another process.
"""

from __future__ import annotations

import asyncio
import enum
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import ConnectionInfo, Route
from remote_kernel_provider.findings import Finding
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.owner import HostIdentity, HostState, Owner, OwnerSelector
from remote_kernel_provider.parameters.launch_parameters import LaunchParameters


class Phase(str, enum.Enum):
    """Where a kernel is between its creation and its end."""

    PENDING = "pending"
    """Accepted, waiting for room."""
    PULLING = "pulling"
    """Its image is on the way."""
    STARTING = "starting"
    """Its process is being started."""
    RUNNING = "running"
    """Its process runs; whether it answers is another question."""
    SUCCEEDED = "succeeded"
    """Its process ended by itself with exit code 0."""
    FAILED = "failed"
    """Its process ended otherwise, or cannot be started."""
    GONE = "gone"
    """The backend knows nothing of it any more."""

    @property
    def ended(self) -> bool:
        """Whether no further phase but `GONE` can follow."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.GONE)

    @property
    def waiting(self) -> bool:
        """Whether the kernel waits for an image or for room, so that the launch time-out does not run yet."""
        return self in (Phase.PENDING, Phase.PULLING)


@dataclass(frozen=True)
class KernelStatus:
    """What a backend says of a kernel at one moment.

    Parameters
    ----------
    phase
        Where it is.
    address
        IP address or host name at which the backend sees the kernel; empty while unknown.
    reason
        A word: `OOMKilled`, `CommandNotFound`, `Unschedulable` …; empty when there is nothing to explain.
    message
        A sentence that a person can act on.
    exit_code
        Of the process that ended; negative: minus the signal that ended it. None while it runs or where unknown.
    """

    phase: Phase
    address: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None

    def sentence(self) -> str:
        """Describe the status in words, with or without a message from the backend."""
        if self.message:
            return self.message
        if self.reason:
            return self.reason
        return f"it is {self.phase.value}"


@dataclass(frozen=True)
class KernelResource:
    """A serializable handle of one kernel of one backend.

    Parameters
    ----------
    lifecycle
        Name of the lifecycle manager (its entry point).
    id
        The backend's own, unique id: of a container, a pod, a process record.
    kernel_id
        Jupyter's id, which survives a restart.
    kernel_name
        `provider/spec`.
    generation
        Random, new at every launch; tells a restarted kernel from its predecessor.
    owner
        Whose it is.
    created
        Unix time in seconds.
    data
        Whatever else the backend needs to find it again; JSON, no secrets.
    """

    lifecycle: str
    id: str
    kernel_id: str
    kernel_name: str
    generation: str
    owner: Owner
    created: float
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> KernelResource:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            When the document is not one.
        """
        try:
            return cls(**{**document, "owner": Owner(**document["owner"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a kernel resource: {error}") from None


@dataclass(frozen=True)
class KernelMemory:
    """What must survive the host that launched a kernel, so that another can adopt it.

    It holds the kernel's key: backends keep it in a Secret or a file of mode 0600, never in labels.

    Parameters
    ----------
    connection
        As the kernel sees it: its own ports and key.
    arguments
        The launch arguments, to launch it again: JSON.
    comm_port
        Port at which the launcher inside takes signals for it; 0 where none does.
    """

    connection: ConnectionInfo
    arguments: Mapping[str, Any] = field(repr=False)
    comm_port: int = 0

    def to_bytes(self) -> bytes:
        """Serialize as JSON."""
        document = {"connection": self.connection.to_json(), "arguments": dict(self.arguments)}
        return json.dumps({**document, "comm_port": self.comm_port}).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> KernelMemory:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            When the text is not one.
        """
        try:
            document = json.loads(text)
            connection = ConnectionInfo.from_json(document["connection"])
            return cls(connection, document["arguments"], int(document.get("comm_port", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a kernel's memory: {error}") from None


@dataclass(frozen=True)
class KernelRequest:
    """All that a backend needs to create a kernel.

    Parameters
    ----------
    spec
        The kernel spec.
    parameters
        Resolved, authorized and checked.
    owner
        Whose it will be.
    generation
        Random, new at every launch.
    substitutions
        Values of the placeholders in `spec.argv`, but those that only the backend knows.
    environment
        What the launch adds to the spec's `env` and to what the backend gives to any process.
    memory
        With the assigned handshake: the connection that the kernel must be given as a file, and what else must survive
        the host. None with the reported handshake.
    """

    spec: KernelSpec
    parameters: LaunchParameters
    owner: Owner
    generation: str
    substitutions: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    memory: KernelMemory | None

    def command(self, **known_to_backend: str) -> list[str]:
        """Return the kernel's command with every known placeholder filled in, such as `connection_file`."""
        return self.spec.command({**self.substitutions, **known_to_backend})


class LifecycleManager(ABC):
    """The interface between the launch sequence and a backend.

    All coroutines run on the private loop and never block it. Nothing of a single kernel is kept beyond what the shared
    watch needs.

    Parameters
    ----------
    settings
        The operator's.
    identity
        This user's host identity, to seal what `recall` gives back.
    """

    name: ClassVar[str]
    """The entry point's name, which `KernelResource.lifecycle` repeats."""

    def __init__(self, settings: RemoteKernelSettings, identity: HostIdentity) -> None:
        self._settings = settings
        self._identity = identity

    @abstractmethod
    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose the address and the ports that a kernel with the assigned handshake binds to.

        Called by the launch right before `create`, which gives them back when it fails. Inside a container any fixed
        ports do; on a shared host they must be free.

        Parameters
        ----------
        count
            How many.
        port_range
            Lowest and highest; the same number twice = any.
        preferred
            The ports of the kernel that this one replaces: clients of stock Jupyter stay connected to them.
        """

    @abstractmethod
    async def response_host(self) -> str:
        """Name the address of this host at which kernels of this backend can reach it.

        Called by the launch when the handshake is *reported* and the operator pinned no address.
        """

    @abstractmethod
    async def create(self, request: KernelRequest) -> KernelResource:
        """Create everything that the kernel needs, or raise and leave nothing.

        Called once by each launch. Must also leave nothing when it is cancelled.

        Raises
        ------
        LaunchError
            With the backend's reason in one sentence.
        """

    async def answered(self, resource: KernelResource) -> None:  # noqa: B027  # most backends have nothing to do
        """Note that the kernel has answered.

        Called once by each launch that succeeds: what was only needed until then can be released.
        """

    @abstractmethod
    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the backend; assigns nothing."""

    @abstractmethod
    def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield the present status first, then each change; ends after a phase that ended.

        Called by the launch while it waits and by the running kernel's manager until its end. Fed by the backend's one
        shared watch: a kernel that does nothing costs nothing.
        """

    @abstractmethod
    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel's own process, not to its shell or its children.

        Raises
        ------
        KernelGoneError
            When it has ended.
        """

    @abstractmethod
    async def delete(self, resource: KernelResource, grace: float) -> None:
        """End the kernel and remove all that was created for it; idempotent.

        Parameters
        ----------
        resource
            Of this backend.
        grace
            Seconds between the polite request and the end by force; 0 = by force at once.
        """

    @abstractmethod
    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last `tail` lines of output, also of a kernel that has died and was not deleted."""

    @abstractmethod
    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the kernels of the owners that match, from the backend itself."""

    async def host_state(self, resource: KernelResource) -> HostState:
        """Say whether the host of a kernel lives.

        By default its lock says so, which only this machine sees. A backend that several machines use needs another
        proof. Never is a living host said to be dead.
        """
        return await asyncio.to_thread(self._identity.state_of, resource.owner)

    async def find_abandoned(self) -> list[KernelResource]:
        """List kernels whose hosts may be dead, whichever machine they ran on; `host_state` tells whether they are.

        For backends that several machines use, where a host may leave kernels that nobody of its machine looks for.
        """
        return []

    async def clear(self, *, dry_run: bool) -> list[str]:
        """Remove what dead hosts left beside their kernels; called when the kernels have been swept.

        Parameters
        ----------
        dry_run
            Whether it is only named.

        Returns
        -------
        list
            What was removed or would be, in a few words for a person.
        """
        return []

    async def place(self, resource: KernelResource) -> str:
        """Name the place where the kernel runs, in a few words for its user: `container 3f2a`, `pod team/python-3f2a`.

        Called for lists of kernels; asks nobody over a network.
        """
        return f"{self.name} {resource.id}"

    @abstractmethod
    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Give the addresses at which this host reaches those ports of the kernel.

        Raises
        ------
        KernelGoneError
            When it has ended; a launch then waits for the watch, which knows why.
        """

    @abstractmethod
    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Keep what must survive the host, for a kernel that reported its connection after `create`."""

    @abstractmethod
    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Give back what `create` or `remember` kept.

        Called by whoever adopts the kernel.

        Raises
        ------
        KernelGoneError
            When nothing is kept, or it is not what this user's host wrote.
        """

    @abstractmethod
    async def reassign(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Note a new owner, so that no sweep takes the kernel for a dead host's; return the handle with it.

        Called by whoever adopts the kernel.

        Raises
        ------
        KernelGoneError
            When it is no longer there.
        """

    async def resume(self, resource: KernelResource) -> KernelResource:
        """Note that this host follows a kernel of its own again, after a restart; return the handle.

        Called by whoever adopts the kernel, where no new owner has to be noted.
        """
        return resource

    async def describe(self) -> str:
        """Say which backend this is and how its kernels are reached, for `doctor`; empty = there is nothing to say.

        Raises
        ------
        RemoteKernelError
            When the backend is not there.
        """
        return ""

    async def check(self) -> list[Finding]:
        """Look for what an operator has to mend, such as missing permissions, for `doctor`; asked after `describe`.

        Raises
        ------
        RemoteKernelError
            When the backend is not there.
        """
        return []

    @abstractmethod
    async def close(self) -> None:
        """Release the client and the watch; kernels stay."""
