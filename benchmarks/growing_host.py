"""A host of ours for kubernetes.py, in a process of its own whose memory counts nothing else.

Arguments: the image of its kernels, and the route. For each line of its input it launches a kernel if the line says
`launch`, and prints the kernel's connection (or null) and its own memory, as JSON. At the end it removes the kernels.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys

import psutil

from benchmarks.kernels import Ours, end_all
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.private_loop import PRIVATE_LOOP


async def main(image: str, route: str) -> None:
    """Launch whenever asked."""
    os.environ["RKP_KUBERNETES_ROUTE"] = route
    command = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
    host = Host(load_settings())
    ours = Ours(KubernetesKernelProvider(host), {"image_name": image}, f"growing-{route}", command)
    kernels = []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        connection = None
        if line == "launch\n":
            kernels.append(await ours.start())
            connection = kernels[-1].connection.to_json()
        gc.collect()
        print(json.dumps({"connection": connection, "memory": psutil.Process().memory_info().rss}), flush=True)
    await end_all(kernels)
    await PRIVATE_LOOP.call(host.close())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
