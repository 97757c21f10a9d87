"""The launch sequence, start to finish, and its clean-up.

One launch gives a working kernel, or an error that says why and an empty backend.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import zmq
from traitlets import TraitError

from remote_kernel_provider.connection.assigned import assign_connection, check_encryption
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.connection.reported import Expectation
from remote_kernel_provider.errors import (
    KernelDiedError,
    KernelGoneError,
    LaunchError,
    LaunchTimeoutError,
    RemoteKernelError,
)
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import (
    KernelMemory,
    KernelRequest,
    KernelResource,
    KernelStatus,
    LifecycleManager,
    Phase,
)
from remote_kernel_provider.owner import Owner
from remote_kernel_provider.parameters.environment import split_parameters
from remote_kernel_provider.parameters.launch_parameters import LaunchParameters
from remote_kernel_provider.private_loop import end_task, settled

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class LaunchProgress:
    """One step of a launch, for whoever watches it.

    Parameters
    ----------
    kernel_id, kernel_name
        Which launch.
    status
        What the backend says.
    elapsed
        Seconds since the launch began.
    """

    kernel_id: str
    kernel_name: str
    status: KernelStatus
    elapsed: float


ProgressCallback = Callable[[LaunchProgress], None]
Connect = Callable[[KernelResource], Awaitable[ConnectionInfo]]


@dataclass(frozen=True)
class LaunchPlan:
    """What is to be launched; made without any side effect.

    Parameters
    ----------
    spec, parameters
        Validated and resolved.
    arguments
        JSON from which another process can make the same plan again.
    replaces
        Connection whose keys, and if possible ports, the kernel takes over, because clients hold them already.
    detached
        Whether the kernel belongs to no host process and is kept until somebody ends it.
    """

    spec: KernelSpec
    parameters: LaunchParameters
    arguments: Mapping[str, Any]
    replaces: ConnectionInfo | None = None
    detached: bool = False


@dataclass(frozen=True)
class Launched:
    """A kernel that has answered.

    Parameters
    ----------
    resource
        Its handle.
    connection
        As this host reaches it.
    lifecycle
        Its backend.
    """

    resource: KernelResource
    connection: ConnectionInfo
    lifecycle: LifecycleManager


async def launch(plan: LaunchPlan, host: Host, owner: Owner, progress: ProgressCallback | None = None) -> Launched:
    """Launch a kernel and return it when it has answered.

    Runs on the private loop. However it ends without a kernel, by an error or by a cancellation, nothing is left.

    Raises
    ------
    LaunchError
        With a sentence that says why, the backend's last status and the kernel's last output.
    RemoteKernelError
        When it was refused before anything was created.
    """
    lifecycle = host.lifecycle(plan.spec.lifecycle_manager)
    check_encryption(plan.spec, plan.parameters.encryption)
    attempt = _Attempt(plan, host, owner, lifecycle, progress or (lambda _: None))
    return await (attempt.assigned() if plan.spec.handshake == "assigned" else attempt.reported())


class _Attempt:
    """One launch under way."""

    def __init__(
        self, plan: LaunchPlan, host: Host, owner: Owner, lifecycle: LifecycleManager, progress: ProgressCallback
    ) -> None:
        self._plan = plan
        self._host = host
        self._owner = owner
        self._lifecycle = lifecycle
        self._progress = progress
        self._began = self._since = time.monotonic()
        self._running = asyncio.Event()
        self._last = KernelStatus(Phase.PENDING)
        self._generation = secrets.token_hex(6)

    async def assigned(self) -> Launched:
        """Launch with ports and keys that this host chooses."""
        plan, parameters = self._plan, self._plan.parameters
        preferred = () if plan.replaces is None else plan.replaces.ports
        ip, ports = await self._lifecycle.ports(5, parameters.config["port_range"], preferred)
        inside = assign_connection(plan.spec, ip, ports, parameters.encryption, plan.replaces)
        request = self._request({}, {}, KernelMemory(inside, plan.arguments))

        async def connect(resource: KernelResource) -> ConnectionInfo:
            await self._running.wait()
            return inside.over(await self._lifecycle.route(resource, inside.ports))

        return await self._run(request, connect)

    async def reported(self) -> Launched:
        """Launch with ports and keys that the launcher inside reports."""
        parameters = self._plan.parameters
        settings = self._host.settings
        ip = settings.response_ip or await self._lifecycle.response_host()
        expecting = self._host.responses.expect(parameters.kernel_id, ip, settings.response_bind_ip)
        async with expecting as expectation:
            substitutions, environment = self._told(expectation)
            request = self._request(substitutions, environment, None)

            async def connect(resource: KernelResource) -> ConnectionInfo:
                report = await expectation.report()
                inside = report.connection
                if parameters.encryption == "required" and not inside.encrypted:
                    raise LaunchError(
                        f"kernel '{parameters.kernel_name}': transport encryption is required, and its launcher "
                        "reported no keys for it; update the launcher, ipykernel (>= 7.3) and jupyter_client (>= 8.9)"
                    )
                memory = KernelMemory(inside, self._plan.arguments, report.comm_port)
                await self._lifecycle.remember(resource, memory)
                return inside.over(await self._lifecycle.route(resource, inside.ports))

            return await self._run(request, connect)

    def _told(self, expectation: Expectation) -> tuple[dict[str, str], dict[str, str]]:
        """Return what the launcher is told, as placeholders of `argv` and as environment."""
        parameters = self._plan.parameters
        lower, upper = parameters.config["port_range"]
        told = {
            "kernel_id": parameters.kernel_id,
            "port_range": f"{lower}..{upper}",
            "response_address": expectation.address,
            "public_key": expectation.public_key,
            # Empty is the wire's word for "disabled".
            "transport_encryption": "" if parameters.encryption == "disabled" else parameters.encryption,
        }
        environment = {name.upper(): value for name, value in told.items()}
        return told, environment

    def _request(
        self, substitutions: Mapping[str, str], environment: Mapping[str, str], memory: KernelMemory | None
    ) -> KernelRequest:
        parameters = self._plan.parameters
        return KernelRequest(
            spec=self._plan.spec,
            parameters=parameters,
            owner=self._owner,
            generation=self._generation,
            substitutions={**_placeholders(parameters), **substitutions},
            environment={**parameters.environment, **environment},
            memory=memory,
        )

    async def _run(self, request: KernelRequest, connect: Connect) -> Launched:
        resource = await self._lifecycle.create(request)
        try:
            connection = await self._until_ready(resource, connect)
            self._report(replace(self._last, message="it answers"))
            return Launched(resource, connection, self._lifecycle)
        except BaseException as error:  # a cancellation included: nothing is left behind
            cleaning = asyncio.ensure_future(self._clean_up(resource, error))
            if await settled(cleaning):
                raise asyncio.CancelledError from None
            evidence = cleaning.result()
            if evidence is None:
                raise
            raise evidence from None

    async def _clean_up(self, resource: KernelResource, error: BaseException) -> LaunchError | None:
        """Delete what was created; return the error with the kernel's last words, and with why something is left."""
        tail = left = ""
        try:
            if isinstance(error, RemoteKernelError):
                with suppress(RemoteKernelError):  # why it failed matters more
                    tail = await self._lifecycle.logs(resource, self._host.settings.log_tail)
        finally:
            try:
                await self._lifecycle.delete(resource, 0)
            except RemoteKernelError as failure:
                log.warning("What is left of kernel %s was not removed: %s", resource.kernel_id, failure)
                left = f"; what is left of it was not removed: {failure}"
        if not isinstance(error, RemoteKernelError):
            return None
        status = error.status if isinstance(error, LaunchError) and error.status else self._last
        kind = type(error) if isinstance(error, LaunchError) else LaunchError
        return kind(f"{error}{left}", status=status, log_tail=tail)

    async def _until_ready(self, resource: KernelResource, connect: Connect) -> ConnectionInfo:
        """Race: the kernel answers | it ends | the time is over | the caller cancels."""
        changed = asyncio.Event()
        async with (
            _background(self._follow(resource, changed)) as following,
            _background(self._answer(resource, connect)) as answering,
        ):
            while not answering.done():
                changed.clear()
                async with _background(changed.wait()) as moved:
                    done, _ = await asyncio.wait(
                        {answering, following, moved},
                        timeout=self._remaining(),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                if following in done and not answering.done():
                    await following
                    raise self._died()
                if not done:
                    raise self._late()
            try:
                return await answering
            except KernelGoneError:  # a route found it gone before the watch, which knows why, has told its end
                await asyncio.wait({following}, timeout=self._remaining())
                if not following.done():
                    raise
                await following
                raise self._died() from None

    async def _follow(self, resource: KernelResource, changed: asyncio.Event) -> None:
        """Report each status, and return when the kernel has ended."""
        async for status in self._lifecycle.watch(resource):
            if status.phase.waiting != self._last.phase.waiting:
                self._since = time.monotonic()
            self._last = status
            self._report(status)
            if status.phase is Phase.RUNNING:
                self._running.set()
            changed.set()

    def _report(self, status: KernelStatus) -> None:
        parameters = self._plan.parameters
        elapsed = time.monotonic() - self._began
        try:
            self._progress(LaunchProgress(parameters.kernel_id, parameters.kernel_name, status, elapsed))
        except Exception:  # somebody else's callback: the launch does not depend on who watches it
            log.exception("An observer of the launch of kernel %s failed.", parameters.kernel_id)

    async def _answer(self, resource: KernelResource, connect: Connect) -> ConnectionInfo:
        connection = await connect(resource)
        try:
            channels = KernelChannels(connection)
            await channels.until_open()
            await channels.kernel_info()
        except (TraitError, zmq.ZMQError) as error:
            raise LaunchError(
                f"{self._name()} cannot be talked to with the keys that its launcher reported: {error}; "
                "update the launcher"
            ) from None
        await self._lifecycle.answered(resource)
        return connection

    def _allowed(self) -> float:
        key = "wait_timeout" if self._last.phase.waiting else "launch_timeout"
        return float(self._plan.parameters.config[key])

    def _remaining(self) -> float:
        return max(0.0, self._since + self._allowed() - time.monotonic())

    def _name(self) -> str:
        return f"kernel '{self._plan.parameters.kernel_name}'"

    def _died(self) -> KernelDiedError:
        elapsed = time.monotonic() - self._began
        has_output = self._last.exit_code is not None
        return KernelDiedError(
            f"{self._name()} ended {elapsed:.1f} s after its launch, before it answered: {self._last.sentence()}"
            f"{'; see its output' if has_output else ''}",
            status=self._last,
        )

    def _late(self) -> LaunchTimeoutError:
        has_output = not self._last.phase.waiting
        setting = "launch_timeout" if has_output else "wait_timeout"
        return LaunchTimeoutError(
            f"{self._name()} did not answer within {self._allowed():g} s ({setting}): {self._last.sentence()}; "
            f"give it more time by {setting}{', or see its output' if has_output else ' in its spec or the settings'}",
            status=self._last,
        )


def _placeholders(parameters: LaunchParameters) -> dict[str, str]:
    """Return the placeholders that any `argv` may hold: every parameter by its lower-case name."""
    named, _ = split_parameters(parameters.environment)
    return {**named, "kernel_id": parameters.kernel_id}


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run a coroutine beside the body, and end it with it."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield task
    finally:
        await end_task(task)
