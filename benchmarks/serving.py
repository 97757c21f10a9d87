"""A Jupyter Server in a process of its own, for measurements."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from remote_kernel_provider.kernelspecs.stock import stanza_for

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
async def serve(folder: Path, port: int, environment: Mapping[str, str], log: Path) -> AsyncIterator[Server]:
    """Run a server in a folder that is its data folder as well, until the block is left."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
            env={**os.environ, "JUPYTER_DATA_DIR": str(folder), **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
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


def free_port() -> int:
    """Find a port of the loopback address that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def add_specs(folder: Path, name: str, module: str) -> None:
    """Write an ordinary spec, and one of ours that runs the same module."""
    argv = [sys.executable, "-m", module, "-f", "{connection_file}"]
    fields = {"display_name": name, "language": "python", "argv": argv}
    stock = {**fields, "metadata": {"kernel_provisioner": stanza_for(f"local/remote-{name}")}}
    for kernel, files in (
        (name, {"kernel.json": fields}),
        (f"remote-{name}", {"kernel.json": stock, "local_kernel.json": fields}),
    ):
        (folder / "kernels" / kernel).mkdir(parents=True)
        for file, document in files.items():
            (folder / "kernels" / kernel / file).write_text(json.dumps(document))
