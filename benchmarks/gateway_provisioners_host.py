"""A host of the package gateway_provisioners, for peer.py: runs in an environment of its own.

Argument: the folder of kernel specs. For each line of its input it launches the spec ``measured``, prints the seconds
until a kernel_info reply, and ends the kernel.
"""

from __future__ import annotations

import asyncio
import sys
import time

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

TIMEOUT = 60


async def launch(folder: str) -> float:
    """Launch once; return the seconds."""
    specs = KernelSpecManager(kernel_dirs=[folder], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_name="measured", kernel_spec_manager=specs)
    began = time.perf_counter()
    await manager.start_kernel()
    client = manager.client()
    client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
    await client.kernel_info(reply=True, timeout=TIMEOUT)
    seconds = time.perf_counter() - began
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    return seconds


async def main(folder: str) -> None:
    """Launch whenever asked."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(await launch(folder), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
