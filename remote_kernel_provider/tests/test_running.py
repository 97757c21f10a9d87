"""Listing running kernels when backends do not answer."""

import asyncio
import time

import pytest

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.owner import ALIVE, DEAD, DETACHED, UNKNOWN, Owner, OwnerSelector
from remote_kernel_provider.running import find_running

EVERYBODY = OwnerSelector()


class _Silent(LocalLifecycleManager):
    async def find(self, selector):
        await asyncio.Event().wait()


class _Failing(LocalLifecycleManager):
    async def find(self, selector):
        raise ConfigurationError("its socket is not there; start it")


class _Full(LocalLifecycleManager):
    async def find(self, selector):
        owner = Owner("ann", "elsewhere", "server-1")
        return [KernelResource("local", f"r{n}", f"k{n}", "local/py", "g", owner, 3.0 - n) for n in range(2)]


@pytest.fixture
def host(tmp_path) -> Host:
    return Host(RemoteKernelSettings(data_folder=str(tmp_path)))


async def test_one_that_is_silent_and_one_that_fails_hide_nothing_of_the_others(host):
    kinds = {"silent": _Silent, "failing": _Failing, "full": _Full}
    lifecycles = {name: kind(host.settings, host.identity) for name, kind in kinds.items()}
    began = time.monotonic()
    found, problems = await find_running(lifecycles, EVERYBODY, 0.2)
    assert time.monotonic() - began < 3
    assert [(kernel.resource.id, kernel.host) for kernel in found] == [("r1", UNKNOWN), ("r0", UNKNOWN)]
    assert problems == [
        "The kernels of 'silent' cannot be listed: it did not answer within 0.2 s",
        "The kernels of 'failing' cannot be listed: its socket is not there; start it",
    ]


async def test_whose_program_lives(host):
    lifecycle = LocalLifecycleManager(host.settings, host.identity)

    async def state(host_id: str, instance: str) -> str:
        owner = Owner("ann", host_id, instance)
        return (await lifecycle.host_state(KernelResource("local", "r", "k", "local/py", "g", owner, 0.0))).word

    own = host.identity.host_id
    assert await state(own, DETACHED) == DETACHED
    assert await state("elsewhere", "server-1") == UNKNOWN
    assert await state(own, "client-gone") == DEAD
    assert await state(own, host.instance) == ALIVE
