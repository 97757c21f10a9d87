"""`Watch`: what becomes of the kernels that somebody follows, told by the one stream of an engine's events."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from docker_kernel_provider.engine import ANSWER_DEADLINE, Engine, unreachable
from docker_kernel_provider.errors import EngineRefusalError, EngineUnreachableError
from docker_kernel_provider.events import EventStream
from docker_kernel_provider.labels import APPLICATION
from docker_kernel_provider.status import GONE, UNREACHABLE, ended_with_engine, status_of, stopped
from remote_kernel_provider.lifecycle import KernelStatus, Phase
from remote_kernel_provider.private_loop import end_task, within

_STOP = str(int(signal.SIGTERM))
"""What an engine sends first to a container that has to end."""


class Subject(Protocol):
    """What is followed: containers, or services of a Swarm."""

    events: ClassVar[Mapping[str, Any]]
    """Filters of the engine's events."""

    def name_of(self, event: Mapping[str, Any]) -> str:
        """Return the name of what something happened to."""

    def is_end(self, event: Mapping[str, Any]) -> bool:
        """Whether nothing is left of it, so that nobody has to look."""

    async def status(self, name: str) -> KernelStatus:
        """Look at it.

        Raises
        ------
        EngineRefusalError
            When it is not there.
        EngineUnreachableError
            When nobody answers.
        """


class Containers:
    """The containers of an engine.

    Parameters
    ----------
    engine
        See the class.
    """

    events: ClassVar[Mapping[str, Any]] = {
        "type": ["container"],
        "label": [f"app={APPLICATION}"],
        "event": ["kill", "die", "oom", "destroy", "pause", "unpause"],
    }

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def name_of(self, event: Mapping[str, Any]) -> str:
        """Return the container's name."""
        return str(event.get("Actor", {}).get("Attributes", {}).get("name", ""))

    def is_end(self, event: Mapping[str, Any]) -> bool:
        """Whether it was removed."""
        return event.get("Action") == "destroy"

    async def status(self, name: str) -> KernelStatus:
        """Inspect it."""
        return status_of(await self._engine.run(lambda client: client.inspect_container(name)))


class _Followed:
    """A kernel that somebody follows."""

    def __init__(self) -> None:
        self.status: KernelStatus | None = None
        self.was_stopped = False
        self.changed = asyncio.Event()
        self.followers = 0

    def tell(self, status: KernelStatus) -> None:
        if self.status is None or not self.status.phase.ended:
            self.status = status
            self.changed.set()
            self.changed = asyncio.Event()

    def look(self, status: KernelStatus, ends_with_engine: bool) -> None:
        """Tell what a look has shown; what happened before says more of an end than the end itself."""
        if self.status is not None and self.status.reason == UNREACHABLE and ends_with_engine:
            status = ended_with_engine(status)
        elif self.was_stopped:
            status = stopped(status)
        self.tell(status)


class Watch:
    """Follows kernels; lives on the private loop.

    An event only says that something happened: the kernel is looked at then, and its status is told. Between events
    nothing is asked.

    Parameters
    ----------
    engine, subject
        Whose events, and what is followed by them.
    on_back
        Called when the engine answers, again or for the first time.
    """

    def __init__(self, engine: Engine, subject: Subject, on_back: Callable[[], None]) -> None:
        self._engine = engine
        self._subject = subject
        self._on_back = on_back
        self._followed: dict[str, _Followed] = {}
        self._stream: EventStream | None = None
        self._opening = asyncio.Lock()
        self._looking: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Have the stream of events run."""
        async with self._opening:
            if self._stream is None:
                self._stream = EventStream(await self._engine.client(), self._subject.events, self)
                is_connected = False
                with suppress(asyncio.TimeoutError):
                    is_connected = await within(ANSWER_DEADLINE, self._stream.until_tried())
                if not is_connected:
                    raise unreachable(await self._engine.location())

    def tell(self, name: str, status: KernelStatus) -> None:
        """Note the status of a container that is being started."""
        self._followed.setdefault(name, _Followed()).tell(status)

    def last(self, name: str) -> KernelStatus | None:
        """Return what was told last of a container that somebody follows."""
        followed = self._followed.get(name)
        return followed.status if followed else None

    def forget(self, name: str) -> None:
        """Note that a container was deleted."""
        followed = self._followed.get(name)
        if followed is not None:
            followed.tell(GONE)
            if not followed.followers:
                del self._followed[name]

    async def follow(self, name: str) -> AsyncIterator[KernelStatus]:
        """Yield the present status of a container, then each change."""
        await self.open()
        followed = self._followed.setdefault(name, _Followed())
        followed.followers += 1
        try:
            if followed.status is None:
                await self._look(name)
            told = None
            while True:
                changed, status = followed.changed, followed.status
                if status is not None and status != told:
                    told = status
                    yield status
                    if status.phase.ended:
                        return
                else:
                    await changed.wait()
        finally:
            followed.followers -= 1
            if not followed.followers and self._followed.get(name) is followed:
                del self._followed[name]

    async def look(self, name: str) -> bool:
        """Look at a kernel of which no event tells; False when nobody follows it."""
        if name in self._followed:
            await self._look(name)
        return name in self._followed

    async def close(self) -> None:
        """End the stream."""
        for looking in list(self._looking.values()):
            await end_task(looking)
        if self._stream is not None:
            await self._stream.close()
        self._stream = None
        self._followed = {}

    # Called by the stream.

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Look at the container that something happened to."""
        name = self._subject.name_of(event)
        if name not in self._followed:
            return
        if self._subject.is_end(event):
            self._followed[name].tell(GONE)
        elif event.get("Action") == "kill":  # by any signal, whose effect has an event of its own
            self._followed[name].was_stopped |= event["Actor"]["Attributes"].get("signal") == _STOP
        else:
            self._look_soon(name)

    def on_connected(self) -> None:
        """Look at the containers of which nobody knew while the engine was away."""
        self._on_back()
        for name, followed in self._followed.items():
            if followed.status is not None and followed.status.reason == UNREACHABLE:
                self._look_soon(name)

    def on_disconnected(self) -> None:
        """Say of all containers that nobody knows about them."""
        message = f"{unreachable(None)}; the kernel may still run"
        for followed in self._followed.values():
            if followed.status is not None:
                followed.tell(replace(followed.status, reason=UNREACHABLE, message=message))

    def _look_soon(self, name: str) -> None:
        before = self._looking.get(name)

        async def look() -> None:
            if before is not None:
                await asyncio.wait([before])  # an older answer never comes after a newer one
            await self._look(name)

        looking = self._looking[name] = asyncio.get_running_loop().create_task(look())
        looking.add_done_callback(lambda _: self._looking.get(name) is looking and self._looking.pop(name))

    async def _look(self, name: str) -> None:
        ends_with_engine = False
        try:
            status = await self._subject.status(name)
            facts = await self._engine.facts()
            # An engine behind a network can have gone on while nobody reached it.
            ends_with_engine = facts.location.socket is not None and not facts.keeps_containers
        except (EngineRefusalError, EngineUnreachableError) as error:
            gone = isinstance(error, EngineRefusalError) and error.not_found
            status = GONE if gone else KernelStatus(Phase.RUNNING, reason=UNREACHABLE, message=str(error))
        if name in self._followed:
            self._followed[name].look(status, ends_with_engine)
