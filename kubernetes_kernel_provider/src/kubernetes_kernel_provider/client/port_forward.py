"""`PortForward`: the ports of one pod as Unix sockets of this host, through the API server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kubernetes_kernel_provider.client.api import BINARY, ClusterClient
from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClusterError
from remote_kernel_provider.private_loop import within

if TYPE_CHECKING:
    import aiohttp

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
"""Channels; the first frame of each holds the port and nothing else."""
CHUNK = 256 * 1024

CLOSED_PAUSE = 0.1
"""Seconds that a client waits when nobody listens on the port of the pod: the kernel may be about to."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds that it waits when the cluster refuses; each pause doubles. ZMQ would try again ten times a second."""


class PortForward:
    """Listens for one pod; each client has a WebSocket of its own.

    Unix sockets in a folder of mode 0700, as on a port any user of this machine could listen to what a kernel prints.

    Parameters
    ----------
    client
        Of the cluster.
    pod
        The pod's path in the API.
    """

    def __init__(self, client: ClusterClient, pod: str) -> None:
        self._client = client
        self._pod = pod
        self._folder: Path | None = None
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._works = asyncio.Event()

    async def open(self, ports: Sequence[int]) -> str:
        """Listen; return the prefix of the sockets' paths: `-` and the port follow."""
        # Short, as a socket's path has a hundred characters at most.
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rkp-"))
        prefix = str(self._folder / "port")
        for port in ports:
            serve = partial(self._accept, port)
            self._servers.append(await asyncio.start_unix_server(serve, f"{prefix}-{port}"))
        return prefix

    async def close(self) -> None:
        """Listen no longer, and end all clients."""
        for server in self._servers:
            server.close()
        self._servers = []
        clients = [task for task in self._clients if task is not asyncio.current_task()]
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _accept(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs each client in one
        self._clients.add(task)
        try:
            await self._forward(port, reader, writer)
        except ClusterError as error:
            if error.is_missing and await self._is_gone():
                await self.close()
            else:
                await self._rest()
        except (OSError, asyncio.CancelledError):
            pass  # the client has gone, or `close` ends us: the server of streams takes no other end
        finally:
            self._clients.discard(task)
            writer.close()

    async def _is_gone(self) -> bool:
        """Whether the cluster has no such pod; a node that has just started does not know its pods yet."""
        try:
            await self._client.request("GET", self._pod)
        except ClusterError as error:
            return error.is_missing
        return False

    async def _rest(self) -> None:
        """Wait before the client may try again: until another one succeeds, or for a while."""
        self._works.clear()
        with suppress(asyncio.TimeoutError):
            await within(self._backoff.seconds(), self._works.wait())

    async def _forward(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = [("ports", str(port))]
        async with self._client.websocket(f"{self._pod}/portforward", query=query, protocol=PROTOCOL) as socket:
            self._backoff.reset()
            self._works.set()
            sending = asyncio.ensure_future(_send(reader, socket))
            receiving = asyncio.ensure_future(_receive(socket, writer))
            try:
                await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, receiving):
                    task.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
        if not receiving.cancelled() and receiving.exception() is None and receiving.result():
            await asyncio.sleep(CLOSED_PAUSE)


async def _send(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
    while data := await reader.read(CHUNK):
        await socket.send_bytes(bytes([DATA]) + data)


async def _receive(socket: aiohttp.ClientWebSocketResponse[bool], writer: asyncio.StreamWriter) -> bool:
    """Hand on what the pod sends; whether it ended because the port is closed there."""
    opened = set()
    async for frame in socket:
        if frame.type != BINARY or not frame.data:
            continue
        channel = frame.data[0]
        if channel not in opened:
            opened.add(channel)
        elif channel == DATA:
            writer.write(frame.data[1:])
            with suppress(ConnectionError):
                await writer.drain()
        elif channel == ERROR:
            return True
    return False
