"""`jupyter remote-kernel interrupt`."""

from __future__ import annotations

import click

from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.cli.found import kernel_of_id, kernels_of_user
from remote_kernel_provider.cli.options import complete_kernel_ids, example
from remote_kernel_provider.host import current_host
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.private_loop import PRIVATE_LOOP


@click.command("interrupt", epilog=example("jupyter remote-kernel interrupt 3f2a"))
@click.argument("kernel_id", metavar="ID", shell_complete=complete_kernel_ids)
def interrupt_command(kernel_id: str) -> None:
    """Interrupt what a kernel runs."""
    PRIVATE_LOOP.run(_interrupt(kernel_of_id(kernel_id, kernels_of_user()).resource))


async def _interrupt(resource: KernelResource) -> None:
    manager = await adopt(current_host(), resource, own=False)
    await manager.interrupt()
    await manager.leave()
