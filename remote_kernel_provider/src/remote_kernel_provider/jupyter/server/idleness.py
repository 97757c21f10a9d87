"""Hearing of a kernel that it is idle, where its word for it may have been lost.

Its state is what it published last, and a kernel that has nothing to do publishes nothing: it would count as busy for
ever, and never be culled.
"""

from __future__ import annotations

import asyncio

from zmq.eventloop.zmqstream import ZMQStream

from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernel_provider.jupyter.server.kernel_manager import RemoteServerKernelManager
from remote_kernel_provider.jupyter.server.lines import LineMonitor
from remote_kernel_provider.private_loop import PRIVATE_LOOP

WAY = 1.0
"""Seconds that the kernel's state may take longer than its reply: it comes another way."""


def hear_after_breaks(kernel: RemoteServerKernelManager, activity: ZMQStream) -> None:
    """Have a kernel say its state again whenever the connection was broken by which the server hears of it."""
    LineMonitor({"iopub": activity}, on_broken=lambda: None, on_mended=lambda: ask_until_idle(kernel))


def ask_until_idle(kernel: RemoteServerKernelManager) -> None:
    """Have a busy kernel say that it is idle once it is; who has asked before asks no more."""
    if kernel.asking is not None:
        kernel.asking.cancel()
    kernel.asking = asyncio.ensure_future(_ask(kernel))


async def _ask(kernel: RemoteServerKernelManager) -> None:
    provisioner = kernel.provisioner
    if not isinstance(provisioner, RemoteKernelProvisioner):  # it has ended meanwhile
        return
    ending = asyncio.ensure_future(provisioner.ended())
    try:
        while kernel.execution_state == "busy" and not ending.done():
            channels = KernelChannels(ConnectionInfo.from_json(provisioner.connection_info))
            saying = asyncio.wrap_future(PRIVATE_LOOP.submit(channels.say_state()))
            try:
                await asyncio.wait([saying, ending], return_when=asyncio.FIRST_COMPLETED)
            finally:
                saying.cancel()
            await asyncio.wait([ending], timeout=WAY)
    finally:
        ending.cancel()
