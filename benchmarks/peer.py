"""A host of the package gateway_provisioners, in an environment of its own, which launches whenever it is asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.measuring import Measurement

ROOT = Path(__file__).parents[1]
IMAGES_PROGRAMS = "/opt/kernel/bin"
"""Where the peer's image has its Python: its host gives pods all of its own environment, the search path too."""
HOST = Path(__file__).with_name("gateway_provisioners_host.py")


@asynccontextmanager
async def peer_host(
    folder: Path, installer: str, image: str, environment: Mapping[str, str]
) -> AsyncIterator[Measurement]:
    """Have a host that measures its launches of one image.

    Parameters
    ----------
    folder
        Of the kernel spec that it gets.
    installer
        Module of the peer that writes the spec.
    image
        Of the kernels.
    environment
        Of the host, beside this process's.
    """
    python = await asyncio.to_thread(_peer_python)
    install = ["-m", f"gateway_provisioners.cli.{installer}", "install", "--prefix", str(folder)]
    options = ["--kernel-name", "measured", "--image-name", image]
    await asyncio.to_thread(lambda: subprocess.run([python, *install, *options], check=True, capture_output=True))
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-I",  # this folder has modules by the names of the peer's libraries
        str(HOST),
        str(folder / "share/jupyter/kernels"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "KERNEL_USERNAME": "someone",
            "PATH": os.pathsep.join((str(python.parent), os.environ["PATH"], IMAGES_PROGRAMS)),
            **environment,
        },
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def measure() -> float:
        process.send_signal(signal.SIGCONT)
        stdin.write(b"\n")
        try:
            return float(await stdout.readline())
        finally:
            process.send_signal(signal.SIGSTOP)  # it has a loop that never rests, which others would pay for

    try:
        yield measure
    finally:
        process.send_signal(signal.SIGCONT)
        stdin.close()
        await process.wait()


def _peer_python() -> Path:
    """Return the Python of the tests' environment that holds the peer."""
    from environments import PEER, environment

    return environment("gateway-provisioners", *PEER, required_by="REQUIRE_PEERS") / "bin/python"
