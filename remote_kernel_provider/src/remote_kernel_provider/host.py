"""This process as a host of kernels: its settings, its identity, and what all its kernels share."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir

from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.connection.reported import ResponseServer
from remote_kernel_provider.errors import ConfigurationError, RemoteKernelError
from remote_kernel_provider.lifecycle import LifecycleManager
from remote_kernel_provider.owner import SERVER_PREFIX, HostIdentity, Owner, OwnerSelector, client_instance
from remote_kernel_provider.parameters.launch_parameters import Identity
from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task

log = logging.getLogger(__name__)

LIFECYCLE_GROUP = "remote_kernel_provider.lifecycle_managers"
"""Entry-point group of the backends; loaded at a launch, never while listing."""

END_GRACE = 1.0
"""Seconds that kernels get which end with their host process."""

LOCK_INTERVAL = 0.05
"""Seconds between two attempts to have the lock of a predecessor, whose end no event tells."""

PACKAGES = {
    "docker": "docker-kernel-provider",
    "docker-swarm": "docker-kernel-provider",
    "kubernetes": "kubernetes-kernel-provider",
    "spark-operator": "kubernetes-kernel-provider",
}


class Host:
    """What the kernels of one process share; lives on the private loop.

    Parameters
    ----------
    settings
        The operator's.
    instance
        Whether this process is a server that comes back (`owner.server_instance`) or not; the lock of its name is held
        from the first launch until the process ends.
    """

    def __init__(self, settings: RemoteKernelSettings, instance: str = "") -> None:
        self.settings = settings
        self.identity = HostIdentity(data_folder(settings))
        self.responses = ResponseServer(settings.response_port, settings.response_port_retries)
        self._wanted = instance or client_instance()
        self._instance = ""
        self.has_launched = False
        self._lifecycles: dict[str, LifecycleManager] = {}
        self._background: set[asyncio.Task[None]] = set()

    def owner(self, user: str) -> Owner:
        """Return this process as the owner of a user's new kernel, and hold its lock from now on."""
        self.has_launched = True
        return Owner(user, self.identity.host_id, self.instance)

    @property
    def instance(self) -> str:
        """The instance whose lock this process holds."""
        if not self._instance:
            self._instance = self.identity.hold(self._wanted)
        return self._instance

    @property
    def returns(self) -> bool:
        """Whether a later process will be the same instance: a server, and the only one that lives by this name."""
        return self._instance.startswith(SERVER_PREFIX)

    async def succeed(self, seconds: float) -> bool:
        """Hold the lock of the instance that this process was made to be; on the private loop.

        Parameters
        ----------
        seconds
            How long to wait for a predecessor that is about to end.

        Returns
        -------
        bool
            Whether it is held: not while another living process holds it.
        """
        deadline = time.monotonic() + seconds
        while not self._instance:
            if await asyncio.to_thread(self.identity.try_to_hold, self._wanted):
                self._instance = self._wanted
            elif time.monotonic() > deadline:
                return False
            else:
                await asyncio.sleep(LOCK_INTERVAL)
        return self._instance == self._wanted

    def resign(self) -> None:
        """Give the lock back, for a successor that may come before this process has ended."""
        if self._instance:
            self.identity.release(self._instance)
            self._instance = ""

    def lifecycle(self, name: str) -> LifecycleManager:
        """Return the lifecycle manager of an entry point; one per process.

        Raises
        ------
        ConfigurationError
            When it is not installed or cannot be loaded.
        """
        if name in self._lifecycles:
            return self._lifecycles[name]
        return self._lifecycle(name, entry_points(group=LIFECYCLE_GROUP))

    def _lifecycle(self, name: str, points: EntryPoints) -> LifecycleManager:
        if name not in self._lifecycles:
            self._lifecycles[name] = _load(name, points)(self.settings, self.identity)
        return self._lifecycles[name]

    def active_lifecycles(self) -> list[LifecycleManager]:
        """Return the lifecycle managers that this process uses already."""
        return list(self._lifecycles.values())

    def lifecycles(self) -> dict[str, LifecycleManager]:
        """Return every installed lifecycle manager that can be loaded; the others cost one warning each."""
        found = {}
        points = entry_points(group=LIFECYCLE_GROUP)  # once: it reads the files of every installed distribution
        for point in points:
            try:
                found[point.name] = self._lifecycle(point.name, points)
            except ConfigurationError as error:
                log.warning("%s", error)
        return found

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for, until it is done or this host ends; on the private loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def end(self) -> None:
        """End as the process ends: kernels of a program that does not come back end with it."""
        try:
            await self._end_background()
            if self._instance and not self.returns:
                for lifecycle in self.active_lifecycles():
                    await self._end_kernels(lifecycle)
        finally:
            await self.close()

    async def _end_kernels(self, lifecycle: LifecycleManager) -> None:
        try:
            own = await lifecycle.find(OwnerSelector(host_id=self.identity.host_id, instance=self._instance))
            await asyncio.gather(*(lifecycle.delete(resource, END_GRACE) for resource in own))
        except (RemoteKernelError, OSError) as error:
            log.warning(
                "Kernels of '%s' could not be ended with their program; a sweep will: %s", lifecycle.name, error
            )

    async def _end_background(self) -> None:
        await asyncio.gather(*(end_task(task) for task in list(self._background)))

    async def close(self) -> None:
        """Release everything; kernels stay."""
        await self._end_background()  # before the connections that it uses
        await self.responses.close()
        lifecycles, self._lifecycles = self._lifecycles, {}
        await asyncio.gather(*(lifecycle.close() for lifecycle in lifecycles.values()))
        self.resign()


def data_folder(settings: RemoteKernelSettings) -> Path:
    """Return this user's folder of host identity and locks."""
    return Path(settings.data_folder or Path(jupyter_data_dir()) / "remote-kernels")


def _load(name: str, points: EntryPoints) -> type[LifecycleManager]:
    by_class = {_class_name(point): point for point in points}
    point = next((point for point in points if point.name == name), by_class.get(name))
    if point is None:
        package = f"; install it: pip install {PACKAGES[name]}" if name in PACKAGES else ""
        known = ", ".join(sorted(points.names))
        raise ConfigurationError(f"the lifecycle manager '{name}' is not installed (there are: {known}){package}")
    try:
        loaded = point.load()
    except Exception as error:  # another package's import can fail in any way
        raise ConfigurationError(f"the lifecycle manager '{name}' ({point.value}) cannot be loaded: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, LifecycleManager)):
        raise ConfigurationError(f"the lifecycle manager '{name}' ({point.value}) is no LifecycleManager")
    return loaded


def _class_name(point: EntryPoint) -> str:
    return point.value.replace(":", ".")


_lock = threading.Lock()
_hosts: dict[int, Host] = {}


def current_host(settings: Callable[[], RemoteKernelSettings] = load_settings, instance: str = "") -> Host:
    """Return this process's host, made on first use.

    Parameters
    ----------
    settings, instance
        Of the host, should it be made now; by default a program that does not come back.
    """
    with _lock:
        pid = os.getpid()
        if pid not in _hosts:
            _hosts.clear()  # a fork copied the parent's
            host = _hosts[pid] = Host(settings(), instance)
            PRIVATE_LOOP.at_exit(host.end)
        return _hosts[pid]


def system_identity() -> Identity:
    """Return the operating system's user who runs this process."""
    try:
        return Identity(getpass.getuser(), "system")
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return Identity(str(os.getuid()), "system")
