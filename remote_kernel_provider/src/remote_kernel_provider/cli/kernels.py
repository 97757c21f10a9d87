"""`jupyter remote-kernel ps`, `logs` and `stop`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click

from remote_kernel_provider.cli.found import kernel_json, kernel_of_id, kernels_of_user, short_ids
from remote_kernel_provider.cli.options import all_owners_option, complete_kernel_ids, example, json_option
from remote_kernel_provider.cli.rendering import age, echo_json, echo_table
from remote_kernel_provider.host import current_host
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import ALIVE
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.running import FoundKernel, stop


@click.command(
    "ps",
    epilog=example(
        "jupyter remote-kernel ps", "jupyter remote-kernel ps --json | jq -r '.[] | select(.host == \"dead\") | .id'"
    ),
)
@all_owners_option
@json_option
def ps_command(all_owners: bool, as_json: bool) -> None:
    """List the running kernels.

    HOST says whether the program that launched a kernel is alive or dead, or whether the kernel is detached from any.
    """
    kernels = kernels_of_user(all_owners=all_owners)
    if as_json:
        echo_json([kernel_json(kernel) for kernel in kernels])
    elif kernels:
        echo_table(("ID", "NAME", "USER", "PHASE", "STARTED", "HOST"), _rows(kernels))
    else:
        click.echo("No kernels.", err=True)


def _rows(kernels: Sequence[FoundKernel]) -> list[tuple[str, ...]]:
    now = time.time()
    return [
        (
            identifier,
            kernel.resource.kernel_name,
            kernel.resource.owner.user,
            kernel.status.phase.value + (f" ({kernel.status.reason})" if kernel.status.reason else ""),
            f"{age(now - kernel.resource.created)} ago",
            kernel.host,
        )
        for identifier, kernel in zip(short_ids(kernels), kernels, strict=True)
    ]


@click.command("logs", epilog=example("jupyter remote-kernel logs 3f2a --tail 20"))
@click.argument("kernel_id", metavar="ID", shell_complete=complete_kernel_ids)
@click.option("--tail", type=click.IntRange(min=1), default=100, show_default=True, help="How many lines.")
@all_owners_option
def logs_command(kernel_id: str, tail: int, all_owners: bool) -> None:
    """Print the last lines of a kernel's output.

    What a notebook's cells print is not in it: that goes to the notebook.
    """
    resource = kernel_of_id(kernel_id, kernels_of_user(all_owners=all_owners)).resource
    text = PRIVATE_LOOP.run(_logs(resource, tail))
    if text:
        click.echo(text)


async def _logs(resource: KernelResource, tail: int) -> str:
    return await current_host().lifecycle(resource.lifecycle).logs(resource, tail)


@click.command("stop", epilog=example("jupyter remote-kernel stop 3f2a 77c1", "jupyter remote-kernel stop --all"))
@click.argument("kernel_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_kernel_ids)
@click.option("--all", "every", is_flag=True, help="Stop all that `ps` lists; asks before, on a terminal.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@all_owners_option
def stop_command(kernel_ids: tuple[str, ...], every: bool, yes: bool, all_owners: bool) -> None:
    """End kernels and remove all that is left of them.

    Prints the ids of the kernels that were stopped.
    """
    if bool(kernel_ids) == every:
        raise click.UsageError("Name the kernels to stop, or pass --all.")
    kernels = kernels_of_user(all_owners=all_owners)
    chosen = kernels if every else [kernel_of_id(identifier, kernels) for identifier in kernel_ids]
    if every and chosen and not yes and sys.stdin.isatty() and not _confirmed(chosen):
        return
    resources = {kernel.resource.id: kernel.resource for kernel in chosen}
    PRIVATE_LOOP.run(stop(current_host(), resources.values()))
    for resource in resources.values():
        click.echo(resource.kernel_id)


def _confirmed(kernels: Sequence[FoundKernel]) -> bool:
    used = sum(kernel.host == ALIVE for kernel in kernels)
    what = f"Stop {len(kernels)} kernel(s)" + (f", {used} of them in use by running programs" if used else "")
    return click.confirm(f"{what}?", err=True)
