"""Run the benchmarks and print a row each; names on the command line choose some."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import adoption, docker, kubernetes, kubernetes_scale, local, server
from benchmarks.measuring import Row


async def main(chosen: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Everything but listing sees the kernels of this environment alone.
        for kind in ("DATA", "RUNTIME", "CONFIG"):
            os.environ[f"JUPYTER_{kind}_DIR"] = str(folder / kind.lower())
        (folder / "runtime").mkdir(mode=0o700)
        suites: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "launch": local.launch,
            "execute": local.execute,
            "responses": local.waiting_response_server,
            "idle": local.idle,
            "listing": lambda: local.listing(folder / "specs"),
            "server-listing": lambda: server.listing(folder / "server-listing"),
            "server-start": lambda: server.start(folder / "server-start"),
            "server-idle": lambda: server.idle(folder / "server-idle"),
            "server-adoption": lambda: adoption.adoption(folder / "server-adoption"),
            "docker-launch": lambda: docker.launch(folder),
            "docker-execute": docker.execute,
            "docker-crowd": docker.crowd,
            "docker-idle": lambda: docker.idle(folder),
            "kubernetes-launch": lambda: kubernetes.launch(folder),
            "kubernetes-execute": kubernetes.execute,
            "kubernetes-forward": kubernetes.forward,
            "kubernetes-crowd": kubernetes.crowd,
            "kubernetes-failure": kubernetes.failure,
            "kubernetes-idle": lambda: kubernetes.idle(folder),
            "kubernetes-memory": kubernetes.memory,
            "kubernetes-scale": lambda: kubernetes_scale.scale(folder),
        }
        print(f"{'':<58} {'ours':>11} {'theirs':>11}  {'ratio':>6}     limit")
        for suite in chosen or suites:
            for row in await suites[suite]():
                print(row, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
