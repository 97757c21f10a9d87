"""Run the benchmarks and print a row each; names on the command line choose some."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from benchmarks import adoption, docker, kubernetes, kubernetes_scale, local, server
from benchmarks.measuring import Row

SUITES: Mapping[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "launch": lambda _: local.launch(),
    "execute": lambda _: local.execute(),
    "responses": lambda _: local.waiting_response_server(),
    "idle": lambda _: local.idle(),
    "listing": local.listing,
    "server-listing": server.listing,
    "server-start": server.start,
    "server-idle": server.idle,
    "server-adoption": adoption.adoption,
    "docker-launch": docker.launch,
    "docker-execute": lambda _: docker.execute(),
    "docker-crowd": lambda _: docker.crowd(),
    "docker-idle": docker.idle,
    "kubernetes-launch": kubernetes.launch,
    "kubernetes-execute": lambda _: kubernetes.execute(),
    "kubernetes-forward": lambda _: kubernetes.forward(),
    "kubernetes-crowd": lambda _: kubernetes.crowd(),
    "kubernetes-failure": lambda _: kubernetes.failure(),
    "kubernetes-idle": kubernetes.idle,
    "kubernetes-memory": lambda _: kubernetes.memory(),
    "kubernetes-scale": kubernetes_scale.scale,
}
"""By name; each has a folder to itself. The page "Measurements" of the site says what they measure."""


async def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        sys.exit(f"there is no benchmark '{unknown[0]}'; they are: {', '.join(SUITES)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Everything but listing sees the kernels of this environment alone.
        for kind in ("DATA", "RUNTIME", "CONFIG"):
            os.environ[f"JUPYTER_{kind}_DIR"] = str(folder / kind.lower())
        (folder / "runtime").mkdir(mode=0o700)
        print(f"{'':<58} {'ours':>11} {'theirs':>11}  {'ratio':>6}     limit")
        for suite in dict.fromkeys(chosen) or SUITES:
            own = folder / suite
            own.mkdir()
            for row in await SUITES[suite](own):
                print(row, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
