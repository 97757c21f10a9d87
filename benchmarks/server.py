"""Jupyter Server with our extension against the same server without it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from benchmarks.measuring import Row, alternate, timed

SPECS = 1000
EXTENSION = "remote_kernel_provider.jupyter.server"
IDLE_KERNELS = 50
IDLE_SECONDS = 30.0
TOKEN = "a-token-for-benchmarks"
PATIENCE = 60.0
"""Seconds that a server has to answer."""


class Server:
    """A server in a process of its own."""

    def __init__(self, port: int, pid: int) -> None:
        self.pid = pid
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> Any:
        """Return the JSON of an end point."""
        request = urllib.request.Request(f"{self._url}/{path}", headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    async def start(self, name: str) -> str:
        """Start a kernel and wait until a client is connected, which is when it has answered; return its id."""
        client = AsyncHTTPClient(max_clients=100)
        headers = {"Authorization": f"token {TOKEN}"}
        body = json.dumps({"name": name})
        posted = await client.fetch(
            f"{self._url}/api/kernels", method="POST", body=body, headers=headers, request_timeout=PATIENCE
        )
        kernel_id = str(json.loads(posted.body)["id"])
        url = f"{self._url.replace('http', 'ws')}/api/kernels/{kernel_id}/channels?session_id={kernel_id}"
        (await websocket_connect(HTTPRequest(url, headers=headers, request_timeout=PATIENCE))).close()
        return kernel_id

    async def end(self, kernel_id: str) -> None:
        """Shut a kernel down."""
        url, headers = f"{self._url}/api/kernels/{kernel_id}", {"Authorization": f"token {TOKEN}"}
        await AsyncHTTPClient().fetch(url, method="DELETE", headers=headers, request_timeout=PATIENCE)


@asynccontextmanager
async def serve(folder: Path, *, with_extension: bool) -> AsyncIterator[Server]:
    """Run a server of the home in a folder, with our extension or without."""
    config = folder / ("ours" if with_extension else "stock")
    config.mkdir(parents=True, exist_ok=True)
    enabled = {"jpserver_extensions": {EXTENSION: with_extension}}
    (config / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": enabled}))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(config), "JUPYTER_DATA_DIR": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
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


async def listing(folder: Path, rounds: int = 9) -> list[Row]:
    """A thousand specs, every other one of ours, as a browser asks for them."""
    fields = {"display_name": "Python", "language": "python", "argv": ["python", "-m", "ipykernel_launcher", "-f"]}
    for number in range(SPECS):
        spec = folder / "kernels" / f"kernel{number}"
        spec.mkdir(parents=True)
        metadata = {}
        if number % 2:
            config = {"kernel": f"local/kernel{number}"}
            metadata = {"kernel_provisioner": {"provisioner_name": "remote-kernel-provisioner", "config": config}}
            (spec / "local_kernel.json").write_text(json.dumps(fields))
        (spec / "kernel.json").write_text(json.dumps({**fields, "metadata": metadata}))

    def asking(server: Server) -> Callable[[], Awaitable[float]]:
        async def ask() -> None:
            listed = await asyncio.to_thread(server.get, "api/kernelspecs")
            assert len(listed["kernelspecs"]) >= SPECS

        return lambda: timed(ask)

    async with serve(folder, with_extension=True) as ours, serve(folder, with_extension=False) as theirs:
        name = f"list {SPECS} specs through the server / without extension"
        return [await alternate(name, asking(ours), asking(theirs), 1.10, rounds)]


async def start(folder: Path, rounds: int = 10) -> list[Row]:
    """From the POST until a client is connected, for one command as an ordinary kernel and as one of ours."""
    _add_specs(folder, "plain", "ipykernel_launcher")

    def starting(server: Server, name: str) -> Callable[[], Awaitable[float]]:
        async def measure() -> float:
            started: list[str] = []

            async def work() -> None:
                started.append(await server.start(name))

            seconds = await timed(work)
            await server.end(started[0])
            return seconds

        return measure

    async with serve(folder, with_extension=True) as server:
        ours, theirs = starting(server, "remote-plain"), starting(server, "plain")
        return [await alternate("POST to connected / the server's own kernel", ours, theirs, 1.10, rounds)]


async def idle(folder: Path) -> list[Row]:
    """Processor time of the server, per cent of one core, that fifty kernels of ours which do nothing add."""
    _add_specs(folder, "tiny", "remote_kernel_provider.testing.tiny_kernel")

    async def used(server: Server) -> float:
        process = psutil.Process(server.pid)
        before = process.cpu_times()
        await asyncio.sleep(IDLE_SECONDS)
        after = process.cpu_times()
        return 100 * (after.user + after.system - before.user - before.system) / IDLE_SECONDS

    async with serve(folder, with_extension=True) as server:
        await server.end(await server.start("remote-tiny"))
        await asyncio.sleep(5)
        alone = await used(server)
        for _ in range(IDLE_KERNELS // 5):
            await asyncio.gather(*(server.start("remote-tiny") for _ in range(5)))
        await asyncio.sleep(5)
        with_kernels = await used(server)
        return [
            Row("the server without kernels: its processor", alone, None, 0.5, 1),
            Row(f"{IDLE_KERNELS} remote kernels idle: the server's processor", with_kernels, None, 0.5, 1),
        ]


def _add_specs(folder: Path, name: str, module: str) -> None:
    """Write an ordinary spec, and one of ours that runs the same module."""
    argv = [sys.executable, "-m", module, "-f", "{connection_file}"]
    fields = {"display_name": name, "language": "python", "argv": argv}
    stanza = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": f"local/remote-{name}"}}
    stock = {**fields, "metadata": {"kernel_provisioner": stanza}}
    for kernel, files in (
        (name, {"kernel.json": fields}),
        (f"remote-{name}", {"kernel.json": stock, "local_kernel.json": fields}),
    ):
        (folder / "kernels" / kernel).mkdir(parents=True)
        for file, document in files.items():
            (folder / "kernels" / kernel / file).write_text(json.dumps(document))
