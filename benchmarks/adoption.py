"""Kernels that outlive their server: what a server does before it listens, when its last run left fifty."""

from __future__ import annotations

import asyncio
import re
import statistics
from pathlib import Path

from benchmarks.measuring import Row
from benchmarks.serving import add_specs, free_port, serve

KERNELS = 50


async def adoption(folder: Path, rounds: int = 5) -> list[Row]:
    """From the search for the kernels until all of them are adopted, as the server's log says."""
    add_specs(folder, "tiny", "remote_kernel_provider.testing.tiny_kernel")
    port, log = free_port(), folder / "server.log"  # each run of the server has the same
    async with serve(folder, port, {"RKP_ON_SERVER_STOP": "keep"}, log) as server:
        for _ in range(KERNELS // 5):
            await asyncio.gather(*(server.start("remote-tiny") for _ in range(5)))
    taken_seconds: list[float] = []
    for number in range(rounds):
        on_stop = "keep" if number < rounds - 1 else "delete"
        async with serve(folder, port, {"RKP_ON_SERVER_STOP": on_stop}, log) as server:
            assert len(await asyncio.to_thread(server.get, "api/kernels")) == KERNELS
        found = re.findall(rf"last run: {KERNELS}, looked after in ([0-9.]+) s", log.read_text())
        taken_seconds += map(float, found)
    assert len(taken_seconds) == rounds
    seconds = statistics.median(taken_seconds)
    return [Row(f"adoption of {KERNELS} kernels at a server's start", seconds, None, 2.0, rounds, unit="s")]
