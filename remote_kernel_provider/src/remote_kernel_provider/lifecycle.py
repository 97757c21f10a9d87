"""What a backend is: the interface `LifecycleManager`, and the values that go through it.

One lifecycle manager exists per process and backend, and all its coroutines run on the private loop. It owns the
backend's client and the one watch that feeds all kernels; what it knows of a single kernel is in a `KernelResource`,
which can be written down and found again by another process.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.findings import Finding
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.owner import HostIdentity, HostState, Owner, OwnerSelector
from remote_kernel_provider.parameters.launch_parameters import LaunchParameters
from remote_kernel_provider.resource import KernelMemory, KernelResource
from remote_kernel_provider.status import KernelStatus, Phase

__all__ = [
    "KernelMemory",
    "KernelRequest",
    "KernelResource",
    "KernelStatus",
    "LifecycleManager",
    "Phase",
]


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

    @property
    def writes_connection_file(self) -> bool:
        """Whether the kernel must be given a connection file that it may write to.

        As its spec or its launch says; by default with CURVE keys, as ipykernel 7.4 writes a file that has some anew.
        """
        if self.memory is None:
            return False
        usual = "copied" if self.memory.connection.encrypted else "mounted"
        return bool(self.parameters.config.get("connection_file", usual) == "copied")

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

        Called once by each launch that succeeds, while it still follows the kernel: what was only needed until then can
        be released.
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

    def unseen(self) -> Sequence[str]:
        """Say where the last `find` could not look, a sentence each."""
        return ()

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

    async def clear(self, *, dry_run: bool, swept: Collection[str] = ()) -> list[Leftover]:
        """Remove what dead hosts left beside their kernels; called when the kernels have been swept.

        Parameters
        ----------
        dry_run
            Whether it is only named.
        swept
            Generations of kernels that count as gone.

        Returns
        -------
        list
            What was removed or would be.
        """
        return []

    async def belongings(self, resource: KernelResource) -> list[Leftover]:
        """Name what `delete` removes with a kernel, as far as it is there; for the list of a sweep."""
        return [Leftover("kernel", await self.place(resource))]

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
