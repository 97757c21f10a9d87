"""A host of the package gateway_provisioners, for test_gateway_provisioners.py: runs in an environment of its own.

Arguments: the folder of kernel specs. Starts the spec ``launched`` there, and prints what it saw as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

TIMEOUT = 30


async def execute(client: Any, code: str, on_output: Any = None) -> dict[str, str]:
    """Run code to its end; `on_output` is awaited once, after its first output."""
    seen: dict[str, str] = {}
    has_begun = asyncio.Event()

    def collect(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            seen[message["content"]["name"]] = message["content"]["text"]
            has_begun.set()

    execution = asyncio.create_task(client.execute_interactive(code, output_hook=collect, timeout=TIMEOUT))
    if on_output is not None:
        await asyncio.wait_for(has_begun.wait(), TIMEOUT)
        await on_output()
    reply = await execution
    if reply["content"]["status"] == "error":
        seen["error"] = reply["content"]["ename"]
    return seen


async def main(folder: str) -> None:
    """Take one kernel through its life."""
    specs = KernelSpecManager(kernel_dirs=[folder], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_name="launched", kernel_spec_manager=specs)
    manager.transport_encryption = "auto"
    seen: dict[str, Any] = {}
    await manager.start_kernel()
    try:
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=TIMEOUT)
        seen["provisioner"] = type(manager.provisioner).__name__
        seen["encrypted"] = manager.curve_publickey is not None
        seen["pid"] = (await execute(client, "import os; print(os.getpid())"))["stdout"].strip()
        seen["interrupted"] = await execute(
            client, "print('begun', flush=True)\nimport time; time.sleep(60)", manager.interrupt_kernel
        )
        seen["alive"] = await manager.is_alive()
        seen["after"] = await execute(client, "print(6 * 7)")
        client.stop_channels()
    finally:
        await manager.shutdown_kernel()
    seen["alive_after_shutdown"] = await manager.is_alive()
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
