"""`LocalLifecycleManager`: kernels as processes of this machine, which outlive their host."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.files import safe_name, write_private
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import (
    KernelMemory,
    KernelRequest,
    KernelResource,
    KernelStatus,
    LifecycleManager,
    Phase,
)
from remote_kernel_provider.local.command import with_own_python
from remote_kernel_provider.local.ports import LOOPBACK, PortPool
from remote_kernel_provider.local.process import (
    WatchedProcess,
    machine,
    signal_group,
    start_time,
    writers,
)
from remote_kernel_provider.local.records import KernelFolder, LocalRecord, folders
from remote_kernel_provider.local.starting import check_user, end_child, start_child, unwritable
from remote_kernel_provider.owner import HostIdentity, Owner, OwnerSelector
from remote_kernel_provider.parameters.environment import inherited_environment, with_references
from remote_kernel_provider.private_loop import within
from remote_kernel_provider.sealing import MemorySeal

UNKNOWN_PID = 0

PRIVATE_FOLDER_VARIABLE = "KERNEL_PRIVATE_FOLDER"
"""Tells a launcher of ours where to put its connection file: here it is removed with the kernel, however that ends."""


class LocalLifecycleManager(LifecycleManager):
    """Runs kernels as processes of this machine, each in a session and a folder of its own.

    Parameters
    ----------
    settings
        The operator's.
    identity
        This user's host identity.
    """

    name: ClassVar[str] = "local"

    def __init__(self, settings: RemoteKernelSettings, identity: HostIdentity) -> None:
        super().__init__(settings, identity)
        self._seal = MemorySeal(identity)
        self._pool = PortPool()
        self._ports: dict[str, Sequence[int]] = {}
        self._processes: dict[str, WatchedProcess] = {}

    async def ports(
        self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()
    ) -> tuple[str, Sequence[int]]:
        """Choose free ports of the loopback address; they stay taken until the kernel is deleted."""
        return LOOPBACK, self._pool.take(count, port_range, preferred)

    async def response_host(self) -> str:
        """Return the loopback address."""
        return LOOPBACK

    async def create(self, request: KernelRequest) -> KernelResource:
        """Start the kernel's process; see `LifecycleManager.create`."""
        folder = KernelFolder(self._root / safe_name(f"{request.parameters.kernel_id[:80]}-{request.generation}"))
        ports = () if request.memory is None else request.memory.connection.ports
        try:
            check_user(request)
            folder.make()
            resource = await self._start(request, folder)
        except BaseException as error:  # a cancellation included: whoever cancels knows of no kernel yet
            folder.remove()
            self._pool.give_back(ports)
            if isinstance(error, OSError):
                raise unwritable(request, folder, error) from None
            raise
        self._ports[resource.id] = ports
        return resource

    async def _start(self, request: KernelRequest, folder: KernelFolder) -> KernelResource:
        command = with_own_python(request.command(connection_file=str(folder.connection_file), prefix=sys.prefix))
        inherited = inherited_environment(os.environ)
        environment = {**inherited, **with_references(request.spec.env, inherited), **request.environment}
        if request.memory is None:
            environment[PRIVATE_FOLDER_VARIABLE] = str(folder.path)
        resource = KernelResource(
            lifecycle=self.name,
            id=folder.path.name,
            kernel_id=request.parameters.kernel_id,
            kernel_name=request.parameters.kernel_name,
            generation=request.generation,
            owner=request.owner,
            created=time.time(),
        )
        # Before the process: should the host be killed in between, the folder tells whose it is and leads to it.
        folder.write_record(LocalRecord(resource, UNKNOWN_PID, None, machine()))
        if request.memory is not None:
            write_private(folder.connection_file, json.dumps(request.memory.connection.to_json()).encode())
            self._remember(resource, folder, request.memory)
        child = await start_child(command, environment, request, folder)
        try:
            process = self._processes[resource.id] = WatchedProcess(child.pid, start_time(child.pid), child)
            folder.write_record(LocalRecord(resource, child.pid, process.started, machine()))
        except BaseException:  # nobody else knows of this process
            end_child(child)
            await self.delete(resource, 0)
            raise
        return resource

    async def answered(self, resource: KernelResource) -> None:
        """Stop holding the kernel's ports: it has bound them."""
        self._pool.hand_over(self._ports.get(resource.id, ()))

    async def status(self, resource: KernelResource) -> KernelStatus:
        """Ask the operating system."""
        process = self._processes.get(resource.id)
        if process is not None:
            return process.status
        folder = self._folder(resource)
        record = self._record(folder)
        if record is None:
            return KernelStatus(Phase.GONE, reason="Gone", message="nothing is left of it on this machine")
        if _is_running(record):
            return KernelStatus(Phase.RUNNING, LOOPBACK)
        return folder.exit() or _unseen_end(record)

    async def watch(self, resource: KernelResource) -> AsyncIterator[KernelStatus]:
        """Yield the present status, then the end."""
        process = self._process(resource)
        if process is None:
            yield await self.status(resource)
            return
        if not process.ended.is_set():
            yield process.status
            await process.ended.wait()
            self._folder(resource).write_exit(process.status)
        yield process.status

    async def signal(self, resource: KernelResource, signum: int) -> None:
        """Send a signal to the kernel's process alone; its children are its own business."""
        process = self._process(resource)
        try:
            if process is None:
                raise ProcessLookupError
            process.signal(signum)
        except ProcessLookupError:
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None

    async def delete(self, resource: KernelResource, grace: float) -> None:
        """End the kernel's process group and remove its folder."""
        process = self._process(resource)
        if process is not None:
            if grace > 0 and not process.ended.is_set():
                process.signal_group(signal.SIGTERM)
                await _within(grace, process.ended)
            process.signal_group(signal.SIGKILL)
            await process.ended.wait()
            process.stop_watching()
        elif (record := self._record(self._folder(resource))) is not None and dict(record.machine) == machine():
            signal_group(record.pid, record.started, signal.SIGKILL)  # what it left running when it ended unseen
        self._folder(resource).remove()
        self._processes.pop(resource.id, None)
        self._pool.give_back(self._ports.pop(resource.id, ()))

    async def logs(self, resource: KernelResource, tail: int) -> str:
        """Return the last lines of what the process wrote."""
        return self._folder(resource).tail(tail)

    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List this machine's kernels in this user's folder."""
        here = machine()
        found = []
        for folder in folders(self._root):
            record = folder.record()
            if record is None or record.machine.get("node") != here["node"]:
                continue
            if selector.matches(record.resource.owner):
                found.append(record.resource)
        return found

    async def place(self, resource: KernelResource) -> str:
        """Name the process and the machine."""
        record = self._record(self._folder(resource))
        return await super().place(resource) if record is None else f"pid {record.pid} on {record.machine['node']}"

    async def belongings(self, resource: KernelResource) -> list[Leftover]:
        """Name the process and the folder."""
        folder = self._folder(resource)
        record = self._record(folder)
        if record is None:
            return []
        process = [Leftover("process", str(record.pid))] if _is_running(record) else []
        return [*process, Leftover("folder", str(folder.path))]

    async def route(self, resource: KernelResource, ports: Sequence[int]) -> Route:
        """Return the loopback address and the same ports."""
        return Route(LOOPBACK, tuple(ports))

    async def remember(self, resource: KernelResource, memory: KernelMemory) -> None:
        """Write the memory into the kernel's folder."""
        self._remember(resource, self._folder(resource), memory)

    def _remember(self, resource: KernelResource, folder: KernelFolder, memory: KernelMemory) -> None:
        folder.write_memory(self._seal.seal(resource.id, memory))

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read the memory, if it is what this user's host wrote."""
        return self._seal.open(resource, resource.id, self._folder(resource).memory())

    async def reassign(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Write the new owner into the kernel's record."""
        folder = self._folder(resource)
        record = self._record(folder)
        if record is None:
            raise KernelGoneError(f"nothing is kept of kernel {resource.kernel_id}; it cannot be adopted")
        owned = replace(record.resource, owner=owner)
        folder.write_record(replace(record, resource=owned))
        return owned

    async def close(self) -> None:
        """Stop watching; the processes go on."""
        for process in self._processes.values():
            process.stop_watching()
        self._processes = {}

    @property
    def _root(self) -> Path:
        return Path(jupyter_runtime_dir()) / "remote-kernels"

    def _folder(self, resource: KernelResource) -> KernelFolder:
        return KernelFolder(self._root / safe_name(resource.id))

    def _process(self, resource: KernelResource) -> WatchedProcess | None:
        """Return the watched process, of another host's kernel too; None when it has ended unseen."""
        process = self._processes.get(resource.id)
        if process is None:
            record = self._record(self._folder(resource))
            if record is None or not _is_running(record):
                return None
            process = self._processes[resource.id] = WatchedProcess(record.pid, record.started)
        return process

    def _record(self, folder: KernelFolder) -> LocalRecord | None:
        """Return the folder's record, with the process of a launch whose host was killed before it could note it."""
        record = folder.record()
        if record is not None and record.pid == UNKNOWN_PID:
            pids = writers(folder.output)
            if pids:
                return replace(record, pid=pids[0], started=start_time(pids[0]))
        return record


def _is_running(record: LocalRecord) -> bool:
    started = None if record.pid == UNKNOWN_PID else start_time(record.pid)
    return dict(record.machine) == machine() and started is not None and started in (record.started, "")


def _unseen_end(record: LocalRecord) -> KernelStatus:
    if record.machine.get("boot") != machine()["boot"]:
        message = "this machine was restarted"
        return KernelStatus(Phase.FAILED, reason="Restarted", message=message)
    return explain_exit(None, False)


async def _within(seconds: float, event: asyncio.Event) -> None:
    with suppress(asyncio.TimeoutError):
        await within(seconds, event.wait())
