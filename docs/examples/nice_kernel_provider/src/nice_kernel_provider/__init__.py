"""A small kernel provider that is whole: kernels of this machine at low priority, each started by `nice`."""

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernel_provider.connection.info import Route
from remote_kernel_provider.errors import KernelGoneError, LaunchError
from remote_kernel_provider.files import write_private
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, LOCAL, ConfigKey
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus, LifecycleManager, Phase
from remote_kernel_provider.local.ports import LOOPBACK, PortPool
from remote_kernel_provider.local.process import WatchedProcess, machine, spawn, start_time
from remote_kernel_provider.local.records import KernelFolder, LocalRecord, folders
from remote_kernel_provider.parameters.environment import inherited_environment
from remote_kernel_provider.private_loop import within
from remote_kernel_provider.provider import RemoteKernelProvider
from remote_kernel_provider.sealing import MemorySeal


class NiceLifecycleManager(LifecycleManager):
    """Runs each kernel under `nice`, with its files in a folder of its own."""

    name = "nice"

    def __init__(self, settings, identity):
        super().__init__(settings, identity)
        self._seal = MemorySeal(identity)
        self._pool = PortPool()
        self._ports = {}
        self._processes = {}

    async def ports(self, count, port_range, preferred=()):
        return LOOPBACK, self._pool.take(count, port_range, preferred)

    async def response_host(self):
        return LOOPBACK

    async def create(self, request):
        parameters, memory = request.parameters, request.memory
        names = self.name, request.generation, parameters.kernel_id, parameters.kernel_name
        resource = KernelResource(*names, request.generation, request.owner, time.time())
        folder = self._folder(resource)
        self._ports[resource.id] = memory.connection.ports if memory else ()
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        environment = {**inherited_environment(os.environ), "PATH": path, **request.spec.env, **request.environment}
        try:  # nothing in here is awaited, so that no cancellation can come between process and record
            folder.make()
            if memory:
                write_private(folder.connection_file, json.dumps(memory.connection.to_json()).encode())
                folder.write_memory(self._seal.seal(resource.id, memory))
            command = request.command(connection_file=str(folder.connection_file))
            program = shutil.which(command[0], path=environment["PATH"])
            if program is None:
                message = f"kernel '{parameters.kernel_name}': there is no command '{command[0]}'; install it"
                raise LaunchError(message, status=KernelStatus(Phase.FAILED, reason="CommandNotFound", message=message))
            nice = ["nice", "-n", str(parameters.config.get("niceness", 10)), program, *command[1:]]
            child = spawn(nice, environment, parameters.working_dir, folder.output)
            self._processes[resource.id] = WatchedProcess(child.pid, start_time(child.pid), child)
            folder.write_record(LocalRecord(resource, child.pid, start_time(child.pid), machine()))
        except BaseException:  # a cancellation included: nobody else knows of this process
            await self.delete(resource, 0)
            raise
        return resource

    async def status(self, resource):
        process = self._process(resource)
        return process.status if process else KernelStatus(Phase.GONE, reason="Gone", message="nothing is left of it")

    async def watch(self, resource):
        process = self._process(resource)
        if process and not process.ended.is_set():
            yield process.status
            await process.ended.wait()
        yield process.status if process else await self.status(resource)

    async def signal(self, resource, signum):
        try:
            self._process(resource).signal(signum)
        except (AttributeError, ProcessLookupError):
            raise KernelGoneError(f"kernel {resource.kernel_id} has ended; it takes no signals") from None

    async def delete(self, resource, grace):
        process = self._process(resource)
        if process:
            if grace and not process.ended.is_set():
                process.signal_group(signal.SIGTERM)
                with contextlib.suppress(asyncio.TimeoutError):
                    await within(grace, process.ended.wait())
            process.signal_group(signal.SIGKILL)
            await process.ended.wait()
        self._folder(resource).remove()
        self._processes.pop(resource.id, None)
        self._pool.give_back(self._ports.pop(resource.id, ()))

    async def logs(self, resource, tail):
        return self._folder(resource).tail(tail)

    async def find(self, selector):
        records = [folder.record() for folder in folders(self._root)]
        return [record.resource for record in records if record and selector.matches(record.resource.owner)]

    async def route(self, resource, ports):
        return Route(LOOPBACK, tuple(ports))

    async def remember(self, resource, memory):
        self._folder(resource).write_memory(self._seal.seal(resource.id, memory))

    async def recall(self, resource):
        return self._seal.open(resource, resource.id, self._folder(resource).memory())

    async def reassign(self, resource, owner):
        record = self._folder(resource).record()
        if record is None:
            raise KernelGoneError(f"nothing is kept of kernel {resource.kernel_id}")
        owned = dataclasses.replace(record.resource, owner=owner)
        self._folder(resource).write_record(dataclasses.replace(record, resource=owned))
        return owned

    async def close(self):
        for process in self._processes.values():
            process.stop_watching()

    def _process(self, resource):
        """Return the kernel's process, also one that another host started; None when nothing is left of it."""
        record = None if resource.id in self._processes else self._folder(resource).record()
        if record:
            self._processes[resource.id] = WatchedProcess(record.pid, record.started)
        return self._processes.get(resource.id)

    @property
    def _root(self):
        return Path(jupyter_runtime_dir()) / "nice-kernels"

    def _folder(self, resource):
        return KernelFolder(self._root / resource.id)


def _niceness(value):
    if value not in range(20):
        raise ValueError("an integer from 0 to 19")
    return value


class NiceKernelProvider(RemoteKernelProvider):
    """Finds the specs in `nice_kernel.json` files."""

    id = "nice"
    kernel_file = "nice_kernel.json"
    default_lifecycle = "nice"
    config_keys = (
        *(key for key in CONFIG_KEYS if LOCAL in key.backends),
        ConfigKey("niceness", _niceness, "0 to 19", "Priority that the kernel gives up.", frozenset({"nice"})),
    )
