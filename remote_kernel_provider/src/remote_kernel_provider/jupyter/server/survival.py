"""Kernels that outlive their server: adopted when it starts again, kept or deleted when it is stopped.

A server is the same after a restart when it is the same user's, on the same port and with the same base URL
(`owner.server_instance`); nobody else's kernels are looked at. The lock of that instance says whether a predecessor
still lives. `adopt_all` runs before the server listens: stock Jupyter forgets a session, and a tab its kernel, at the
first look at a kernel that is not there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async

from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import KernelGoneError, RemoteKernelError
from remote_kernel_provider.host import END_GRACE, Host, current_host
from remote_kernel_provider.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernel_provider.jupyter.server.clients import LastClients
from remote_kernel_provider.jupyter.server.gap import Gap
from remote_kernel_provider.jupyter.server.idleness import ask_until_idle
from remote_kernel_provider.jupyter.server.sessions import keep_sessions
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.owner import OwnerSelector, server_instance
from remote_kernel_provider.private_loop import PRIVATE_LOOP, within

PREDECESSOR_GRACE = 2.0
"""Seconds in which a predecessor that frees the port ends, too."""

FIND_DEADLINE = 5.0
"""Seconds that a backend has to list the kernels, and again to tell what is known of each."""

ADOPTION_DEADLINE = 10.0
"""Seconds that all adoptions have together: a server without some of its old kernels beats no server."""

PROBE = 1.0
"""Seconds in which a kernel that does nothing answers; one that does not is busy."""


@dataclass(frozen=True)
class Left:
    """A running kernel that a dead program left, most often this server's predecessor.

    Parameters
    ----------
    resource
        The kernel.
    request
        What the client that launched it asked for, as JSON.
    """

    resource: KernelResource
    request: Mapping[str, Any]


async def adopt_all(server: Any) -> None:
    """Take over the kernels that the server's predecessor left, and its sessions; before the server listens.

    What cannot be adopted costs one line in the log each, and never the server.
    """
    _settle_port(server)
    began = time.monotonic()
    try:
        host = host_of(server)
        has_predecessor = host.identity.has_seen(server_instance(server.port, server.base_url))
        if not await PRIVATE_LOOP.call(host.succeed(PREDECESSOR_GRACE)) or not host.returns:
            server.log.warning(
                "Another server of yours has port %s: kernels of this one will not outlive it.", server.port
            )
            return
        # The backends are loaded, which can take a second, only where there may be something to find.
        left = await PRIVATE_LOOP.call(_find(host, server)) if has_predecessor else []
    except (RemoteKernelError, OSError) as error:
        server.log.error("The kernels of the server's last run cannot be looked for: %s", error)
        return
    keep_sessions(server, host.identity.folder, host.instance)
    clients = LastClients(host.identity.folder / "clients" / host.instance)
    clients.forget_all_but(kernel.resource.kernel_id for kernel in left)
    server.kernel_manager.clients = clients
    if not left:
        return
    adopting = [asyncio.ensure_future(adopt_kernel(server.kernel_manager, kernel)) for kernel in left]
    await asyncio.wait(adopting, timeout=ADOPTION_DEADLINE)
    for kernel, task in zip(left, adopting, strict=True):
        _report(server.log, kernel.resource, task)
    elapsed = time.monotonic() - began
    server.log.info("Kernels of the server's last run: %d, looked after in %.2f s.", len(left), elapsed)


def _report(log: Any, resource: KernelResource, task: asyncio.Future[bool]) -> None:
    name = f"{resource.kernel_id} ({resource.kernel_name})"
    if not task.done():
        task.cancel()
        log.error("Kernel %s was not adopted: it took longer than %g s; it runs on.", name, ADOPTION_DEADLINE)
    elif (error := task.exception()) is not None:
        # Whatever it is: classes of others take part.
        log.error("Kernel %s was not adopted, and runs on: %s", name, str(error) or repr(error))
    else:
        log.info("Kernel %s was adopted%s.", name, "; it is busy" if task.result() else "")


async def on_stop(kernels: Any) -> None:
    """Keep or delete, as the operator chose; called by the mapping kernel manager before it shuts all kernels down.

    Parameters
    ----------
    kernels
        The mapping kernel manager. With `keep`, our kernels are not in it any more when this returns.
    """
    server = kernels.parent
    try:
        host = host_of(server)
        if not host.returns:
            return  # nobody would find them again
        if host.settings.on_server_stop == "keep":
            await _let_go_of_all(kernels)
            host.resign()
        else:
            await PRIVATE_LOOP.call(_delete_others(host, kernels))
    except (RemoteKernelError, OSError) as error:
        server.log.error("The kernels were not all looked after at the server's end: %s", error)


def host_of(server: Any) -> Host:
    """Return this process as a host of kernels, with the server's settings and under the server's name."""
    return current_host(lambda: load_settings(server.config), server_instance(server.port, server.base_url))


def _settle_port(server: Any) -> None:
    """Look for the port that the server is going to have: it looks for it only later, in the same order.

    Of two servers that were started alike, the second one has the next free port; the port is their name.
    """
    from jupyter_server.serverapp import random_ports
    from tornado.netutil import bind_sockets

    if server.sock or hasattr(server, "_http_server"):
        return
    for port in random_ports(server.port, server.port_retries + 1):
        try:
            sockets = bind_sockets(port, server.ip)
        except OSError:
            continue  # the server says it when it finds none
        server.port = sockets[0].getsockname()[1]
        for socket in sockets:
            socket.close()
        return


async def _find(host: Host, server: Any) -> list[Left]:
    """List the running kernels of the predecessor, and remove what is left of those that have ended; private loop."""
    own = OwnerSelector(host_id=host.identity.host_id, instance=host.instance)
    found = await asyncio.gather(*(_list(name, it, own, server.log) for name, it in host.lifecycles().items()))
    looking = [_look(host, resource, server) for resources in found for resource in resources]
    return [left for left in await asyncio.gather(*looking) if left is not None]


async def _list(name: str, lifecycle: LifecycleManager, own: OwnerSelector, log: Any) -> list[KernelResource]:
    try:
        return await within(FIND_DEADLINE, lifecycle.find(own))
    except asyncio.TimeoutError:
        log.warning("Kernels of '%s' were not looked for: it did not answer within %g s.", name, FIND_DEADLINE)
    except (RemoteKernelError, OSError) as error:
        log.warning("Kernels of '%s' were not looked for: %s", name, error)
    return []


async def _look(host: Host, resource: KernelResource, server: Any) -> Left | None:
    log = server.log
    lifecycle = host.lifecycle(resource.lifecycle)
    name = f"{resource.kernel_id} ({resource.kernel_name})"
    try:
        status = await within(FIND_DEADLINE, lifecycle.status(resource))
        if status.phase.ended:
            log.info("Kernel %s ended while no server was there: %s", name, status.sentence())
            await within(FIND_DEADLINE, lifecycle.delete(resource, 0))
            _remove_connection_file(server.kernel_manager, resource.kernel_id)
            return None
        memory = await within(FIND_DEADLINE, lifecycle.recall(resource))
        request = dict(memory.arguments["request"])
        if not request.get("listed_as"):
            raise KernelGoneError("it was not launched by a Jupyter server")
        return Left(resource, request)
    except asyncio.TimeoutError:
        log.error("Kernel %s was not adopted: its backend did not answer within %g s.", name, FIND_DEADLINE)
    except (RemoteKernelError, OSError, ValueError, KeyError, TypeError) as error:
        log.error("Kernel %s was not adopted: %s", name, error)
    return None


async def adopt_kernel(kernels: Any, left: Left) -> bool:
    """Make a kernel manager for a running kernel and put it into the map; whether the kernel is busy."""
    kernel_id, request = left.resource.kernel_id, left.request
    kernel, _, _ = kernels.pre_start_kernel(request["listed_as"], {"kernel_id": kernel_id})
    arguments = _launch_arguments(kernel_id, request)
    server_policy = getattr(kernels, "_kernel_start_kwargs", dict)  # since jupyter_server 2.18
    await ensure_async(kernel.pre_start_kernel(**server_policy(**arguments)))
    provisioner = kernel.provisioner
    if not isinstance(provisioner, RemoteKernelProvisioner):
        raise KernelGoneError(f"'{request['listed_as']}' is an ordinary kernel now")
    await provisioner.load_provisioner_info(
        {
            "kernel_id": kernel_id,
            "connection_info": {},
            "resource": left.resource.to_json(),
            "working_dir": request.get("working_dir"),
        }
    )
    try:
        busy = await _take_over(kernels, kernel_id, kernel)
    except BaseException:  # a cancellation included
        await provisioner.leave()
        raise
    return busy


def _launch_arguments(kernel_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the server once started the kernel with, for a restart: the client's word, as stock passes it."""
    return {
        "kernel_id": kernel_id,
        "cwd": request.get("working_dir"),
        "env": {**os.environ, **request.get("environment", {})},
        "launch_params": request.get("values", {}),
    }


async def _take_over(kernels: Any, kernel_id: str, kernel: Any) -> bool:
    connection = kernel.provisioner.connection_info
    # First: with the file of the last run still there, the reconciliation takes the values for loaded.
    kernel.load_connection_info(connection)
    kernel._reconcile_connection_info(connection)
    kernel._connection_file_written = True  # by the last run, so that this one removes it in the end
    kernel._attempted_start = True  # what follows in its life makes a future of its own
    kernel.ready.set_result(None)
    kernels._kernels[kernel_id] = kernel
    answer = asyncio.wrap_future(
        PRIVATE_LOOP.submit(KernelChannels(ConnectionInfo.from_json(connection)).kernel_info())
    )
    try:
        _listen_for_last_client(kernels, kernel_id, kernel)
        await asyncio.wait([answer], timeout=PROBE)
        busy = not answer.done()
        # A busy kernel would answer each client's first question only after its cell.
        kernel._kernel_info_future = asyncio.get_running_loop().create_future()
        kernel._kernel_info_future.set_result({} if busy else dict(answer.result()))
        kernels._kernel_connections[kernel_id] = 0
        await ensure_async(kernel.post_start_kernel())
        await kernels._finish_kernel_start(kernel_id)
    except BaseException:  # a cancellation included: the map holds whole kernels only
        answer.cancel()
        kernels.stop_buffering(kernel_id)
        kernels.remove_kernel(kernel_id)
        raise
    kernel.execution_state = "busy" if busy else "idle"
    if busy:
        kernel.gap = Gap()
        answer.cancel()
        ask_until_idle(kernel)
    _count(kernel.kernel_name)
    if not kernels._initialized_culler:
        kernels.initialize_culler()
    return busy


def _listen_for_last_client(kernels: Any, kernel_id: str, kernel: Any) -> None:
    """Keep what the kernel has for the client that was connected last, as stock does for one that lost its connection.

    Without that, a reply that comes before the client is back would have nobody to go to.
    """
    clients: LastClients | None = getattr(kernels, "clients", None)
    client = clients.last(kernel_id) if clients is not None else b""
    if not client:
        return
    channels = {}
    for name in ("iopub", "shell", "control", "stdin"):
        channels[name] = getattr(kernel, f"connect_{name}")(identity=client)
        channels[name].channel = name
    kernels.start_buffering(kernel_id, f"{kernel_id}:{client.decode()}", channels)


def _count(kernel_name: str) -> None:
    """Count the kernel as running: its shutdown is going to count it down."""
    from jupyter_server.prometheus.metrics import KERNEL_CURRENTLY_RUNNING_TOTAL

    KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=kernel_name).inc()


async def _let_go_of_all(kernels: Any) -> None:
    ours = {
        kernel_id: kernel
        for kernel_id, kernel in kernels._kernels.items()
        if isinstance(kernel.provisioner, RemoteKernelProvisioner) and _runs(kernel)
    }
    letting = [_let_go(kernels, kernel_id, kernel) for kernel_id, kernel in ours.items()]
    # Whatever it is, classes of others take part: the server has more to do at its end.
    for error in filter(None, await asyncio.gather(*letting, return_exceptions=True)):
        kernels.log.error("A kernel is kept, and not everything of it was released: %r", error)
    if ours:
        kernels.log.info("Remote kernels kept for the server's next run: %d.", len(ours))


def _runs(kernel: Any) -> bool:
    """Whether it was launched; what is still under way ends with the server."""
    ready = kernel.ready
    return bool(ready.done() and not ready.cancelled() and ready.exception() is None and kernel.has_kernel)


async def _let_go(kernels: Any, kernel_id: str, kernel: Any) -> None:
    kernel.shutting_down = True
    kernel.stop_restarter()
    kernels.stop_watching_activity(kernel_id)
    kernels.stop_buffering(kernel_id)
    kernels.remove_kernel(kernel_id)  # from here on nobody ends it
    await kernel.provisioner.leave()
    kernel._close_control_socket()
    kernel.cleanup_connection_file()


async def _delete_others(host: Host, kernels: Any) -> None:
    """Delete what runs under this server's name and that it has no hold of; on the private loop."""
    own = OwnerSelector(host_id=host.identity.host_id, instance=host.instance)
    known = frozenset(kernels.list_kernel_ids())
    for lifecycle in host.active_lifecycles():
        lost = [resource for resource in await lifecycle.find(own) if resource.kernel_id not in known]
        await asyncio.gather(*(lifecycle.delete(resource, END_GRACE) for resource in lost))
        for resource in lost:
            _remove_connection_file(kernels, resource.kernel_id)


def _remove_connection_file(kernels: Any, kernel_id: str) -> None:
    """Remove the file that the last run wrote for clients of this machine."""
    with suppress(OSError):
        Path(kernels.connection_dir, f"kernel-{kernel_id}.json").unlink(missing_ok=True)
