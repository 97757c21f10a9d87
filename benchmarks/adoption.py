"""Kernels that outlive their server: what a server does before it listens, when its last run left fifty."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import statistics
import sys
import time
import urllib.error
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.measuring import Row
from benchmarks.server import PATIENCE, TOKEN, Server, _add_specs

KERNELS = 50


@asynccontextmanager
async def _run(folder: Path, port: int, on_stop: str) -> AsyncIterator[Server]:
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
            env={**os.environ, "JUPYTER_DATA_DIR": str(folder), "RKP_ON_SERVER_STOP": on_stop},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        server = Server(port, process.pid)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                await asyncio.to_thread(server.get, "api/status")
                break
            except urllib.error.URLError:
                if process.returncode is not None or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def adoption(folder: Path, rounds: int = 5) -> list[Row]:
    """From the search for the kernels until all of them are adopted, as the server's log says."""
    _add_specs(folder, "tiny", "remote_kernel_provider.testing.tiny_kernel")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with _run(folder, port, "keep") as server:
        for _ in range(KERNELS // 5):
            await asyncio.gather(*(server.start("remote-tiny") for _ in range(5)))
    taken_seconds: list[float] = []
    for number in range(rounds):
        async with _run(folder, port, "keep" if number < rounds - 1 else "delete") as server:
            assert len(await asyncio.to_thread(server.get, "api/kernels")) == KERNELS
        log = (folder / "server.log").read_text()
        taken_seconds += map(float, re.findall(rf"last run: {KERNELS}, looked after in ([0-9.]+) s", log))
    assert len(taken_seconds) == rounds
    seconds = statistics.median(taken_seconds)
    return [Row(f"adoption of {KERNELS} kernels at a server's start", seconds, None, 2.0, rounds, unit="s")]
