"""Taking over kernels that another host process launched: from the backend's handle to a manager again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.host import Host
from remote_kernel_provider.launch import Launched, ProgressCallback
from remote_kernel_provider.lifecycle import KernelMemory, KernelResource
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import DETACHED
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.provider import load_provider


async def adopt(
    host: Host,
    resource: KernelResource,
    log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    *,
    own: bool = True,
) -> RemoteKernelManager:
    """Manage a kernel that another process launched; on the private loop.

    Parameters
    ----------
    host, resource
        Who adopts what.
    log
        Where its death will be logged.
    own
        Whether the kernel belongs to this host from now on; else it is only used, and stays whose it is.

    Raises
    ------
    KernelGoneError
        When it has ended, or nothing that this user's host wrote is kept of it.
    """
    lifecycle = host.lifecycle(resource.lifecycle)
    memory = await lifecycle.recall(resource)
    status = await lifecycle.status(resource)
    if status.phase.ended:
        raise KernelGoneError(f"kernel {resource.kernel_id} cannot be adopted: {status.sentence()}")
    if own and resource.owner.instance == host.instance:
        resource = await lifecycle.resume(resource)
    elif own and resource.owner.instance != DETACHED:
        resource = await lifecycle.reassign(resource, replace(resource.owner, instance=host.instance))
    route = await lifecycle.route(resource, memory.connection.ports)
    launched = Launched(resource, memory.connection.over(route), lifecycle)
    mode = str(memory.arguments.get("interrupt_mode", "signal"))
    return RemoteKernelManager(launched, mode, host.settings.delete_grace, log)


async def relaunch(
    host: Host, resource: KernelResource, progress: ProgressCallback | None = None
) -> RemoteKernelManager:
    """End a kernel and launch it anew with its id, its keys and what its client once asked for; on the private loop.

    Raises
    ------
    KernelGoneError
        When nothing is kept of it, so that nobody knows how it was launched.
    RemoteKernelError
        When the new launch fails; the old kernel is gone then.
    """
    lifecycle = host.lifecycle(resource.lifecycle)
    memory = await lifecycle.recall(resource)
    provider = load_provider(str(memory.arguments["provider"]), host)
    spec, _ = provider.find(str(memory.arguments["spec"]))
    request = _request(memory)
    # What policy refuses by now is refused while the old kernel still runs.
    await asyncio.to_thread(provider.plan, spec, request)
    await lifecycle.delete(resource, host.settings.delete_grace)
    return await provider.start(
        spec,
        request,
        replaces=memory.connection,
        detached=resource.owner.instance == DETACHED,
        progress=progress,
    )


def _request(memory: KernelMemory) -> ClientRequest:
    document = dict(memory.arguments["request"])
    return ClientRequest(**{**document, "identity": Identity(**document["identity"])})
