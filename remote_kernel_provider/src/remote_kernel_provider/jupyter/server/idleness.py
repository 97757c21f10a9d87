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

QUESTIONS = 3
"""After so many a kernel that answers and never says its state is taken for one that does not say it, and idle."""


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
    if kernel.execution_state != "busy" or not isinstance(provisioner, RemoteKernelProvisioner):
        return
    heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hear(_: object) -> None:
        if not heard.done():
            heard.set_result(None)

    kernel.observe(hear, "execution_state")
    ending = asyncio.ensure_future(provisioner.ended())
    try:
        for _ in range(QUESTIONS):
            channels = KernelChannels(ConnectionInfo.from_json(provisioner.connection_info))
            saying = asyncio.wrap_future(PRIVATE_LOOP.submit(channels.say_state()))
            try:
                done, _ = await asyncio.wait([saying, heard, ending], return_when=asyncio.FIRST_COMPLETED)
            finally:
                saying.cancel()
            if saying in done:
                saying.result()
                done, _ = await asyncio.wait([heard, ending], timeout=WAY, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
        kernel.execution_state = "idle"
    finally:
        kernel.unobserve(hear, "execution_state")
        ending.cancel()
