"""`jupyter remote-kernel start` and `restart`: kernels that belong to no program and go on until they are stopped."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from remote_kernel_provider.adoption import relaunch
from remote_kernel_provider.cli.failures import UsageError
from remote_kernel_provider.cli.found import kernel_of_id, kernels_of_user
from remote_kernel_provider.cli.offers import launchable, named
from remote_kernel_provider.cli.options import (
    complete_kernel_ids,
    complete_kernel_names,
    example,
    json_option,
    launch_options,
    passed_environment,
)
from remote_kernel_provider.cli.rendering import ProgressLine, echo_json
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.files import write_private
from remote_kernel_provider.host import current_host
from remote_kernel_provider.launch import ProgressCallback
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import ALIVE, DETACHED
from remote_kernel_provider.parameters.environment import PassedEnvironment, split_parameters
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import claimed_identity, load_provider
from remote_kernel_provider.running import FoundKernel, connection_file


@dataclass(frozen=True)
class Started:
    """A kernel that goes on by itself.

    Parameters
    ----------
    resource
        Its handle.
    connection_file
        For clients of this machine.
    encrypted
        Whether only clients that know CURVE can use it.
    """

    resource: KernelResource
    connection_file: Path
    encrypted: bool


@click.command(
    "start",
    epilog=example(
        "jupyter remote-kernel start local/python3 --param launch_timeout=60",
        "jupyter remote-kernel start local/python3 --transport-encryption disabled",
    ),
)
@click.argument("kernel", shell_complete=complete_kernel_names)
@click.option(
    "--transport-encryption",
    "encryption",
    type=click.Choice(["auto", "required", "disabled"]),
    default="auto",
    show_default=True,
    help="jupyter console and jupyter run --existing know no CURVE keys: for them it must be disabled.",
)
@launch_options
@json_option
def start_command(
    kernel: str, encryption: str, cwd: str | None, params: Mapping[str, str], env: Mapping[str, str], as_json: bool
) -> None:
    """Start a kernel that goes on until it is stopped.

    Prints the kernel's id, and a connection file for Jupyter clients of this machine.
    """
    name = kernel if "/" in kernel else named(kernel, launchable()).name
    request = _request(passed_environment(params, env), cwd, encryption)
    _check_free(request.kernel_id)
    with ProgressLine(name) as line:
        started = PRIVATE_LOOP.run(_start(name, request, line.update))
    _tell(started, as_json)


def _request(passed: PassedEnvironment, cwd: str | None, encryption: str) -> ClientRequest:
    values, environment = split_parameters(passed)
    return ClientRequest(
        kernel_id=str(values.get("id") or uuid.uuid4()),
        identity=claimed_identity(values),
        values=values,
        environment=environment,
        working_dir=cwd or os.getcwd(),  # noqa: PTH109  # as text, the way kernels get it
        encryption=encryption,
    )


def _check_free(kernel_id: str) -> None:
    if any(kernel.resource.kernel_id == kernel_id for kernel in kernels_of_user()):
        raise UsageError(f"there is a kernel with the id '{kernel_id}' already; choose another id, or stop that one")


async def _start(name: str, request: ClientRequest, progress: ProgressCallback) -> Started:
    provider_id, _, spec_name = name.partition("/")
    provider = load_provider(provider_id, current_host())
    spec, profile = provider.find(spec_name)
    manager = await provider.start(spec, replace(request, profile=profile), detached=True, progress=progress)
    return await _let_go(manager)


async def _let_go(manager: RemoteKernelManager) -> Started:
    """Write the connection file for whoever will use the kernel, and follow the kernel no more."""
    file = connection_file(manager.resource.kernel_id)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, json.dumps(manager.connection.to_json(), indent=1).encode())
    except OSError:
        await manager.kill()  # nobody could use it
        raise
    await manager.leave()
    return Started(manager.resource, file, manager.connection.encrypted)


def _tell(started: Started, as_json: bool) -> None:
    resource, file = started.resource, started.connection_file
    if as_json:
        echo_json(
            {
                "id": resource.kernel_id,
                "name": resource.kernel_name,
                "connection_file": str(file),
                "encrypted": started.encrypted,
            }
        )
        return
    click.echo(f"kernel           {resource.kernel_id}")
    click.echo(f"connection file  {file}")
    if started.encrypted:
        click.echo("encrypted        yes; for jupyter console start it with --transport-encryption disabled")
    else:
        click.echo(f"connect by       jupyter console --existing {file}")


@click.command("restart", epilog=example("jupyter remote-kernel restart 3f2a"))
@click.argument("kernel_id", metavar="ID", shell_complete=complete_kernel_ids)
@json_option
def restart_command(kernel_id: str, as_json: bool) -> None:
    """End a kernel and launch it anew, with its id and its keys.

    Only kernels that are detached, or whose program is dead, can be restarted here; afterwards they are detached.
    """
    kernel = kernel_of_id(kernel_id, kernels_of_user())
    _check_restartable(kernel)
    with ProgressLine(kernel.resource.kernel_name) as line:
        restarted = PRIVATE_LOOP.run(_restart(kernel.resource, line.update))
    _tell(restarted, as_json)


def _check_restartable(kernel: FoundKernel) -> None:
    if kernel.host == ALIVE:
        raise UsageError(
            f"kernel {kernel.resource.kernel_id} ({kernel.resource.kernel_name}) belongs to a program that is running, "
            "which would take the restart for its death; restart it there, or stop it"
        )


async def _restart(resource: KernelResource, progress: ProgressCallback) -> Started:
    # Owned by this command it would end with it.
    detached = replace(resource, owner=replace(resource.owner, instance=DETACHED))
    try:
        manager = await relaunch(current_host(), detached, progress)
    except LaunchError:
        connection_file(resource.kernel_id).unlink(missing_ok=True)  # the old kernel is gone, and there is no new one
        raise
    return await _let_go(manager)
