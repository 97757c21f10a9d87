"""Standing behind the five ports of a connection file: four are forwarded to the kernel, the heartbeat is answered."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import zmq

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import ConfigurationError

PIECE = 64 * 1024


class KernelRelay:
    """Listens where clients expect a kernel, and forwards to where it is.

    It listens before the kernel is there; connections wait until `forward_to` says where it is. Heartbeats are answered
    at once: whoever runs the relay ends it when the kernel ends, and a client that hears none for a second calls a
    kernel dead that is only being launched.

    Parameters
    ----------
    here
        Where clients expect the kernel.
    """

    def __init__(self, here: ConnectionInfo) -> None:
        self._here = here
        self._there: asyncio.Future[ConnectionInfo] = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._heartbeat = _Heartbeat()

    async def listen(self) -> None:
        """Listen on all five ports.

        Raises
        ------
        ConfigurationError
            When a port is taken.
        """
        *forwarded, heartbeat = self._here.ports
        port = heartbeat
        try:
            self._heartbeat.start(self._here, port)
            for channel, port in enumerate(forwarded):  # the error names it
                self._servers.append(await self._server(channel, port))
        except (OSError, zmq.ZMQError) as error:
            await self.close()
            raise ConfigurationError(
                f"port {port} of the connection file cannot be listened on: {error.strerror}; make another file"
            ) from None

    async def _server(self, channel: int, port: int) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await self._forward(channel, reader, writer)
            finally:
                self._connections.discard(task)

        if self._here.transport == "ipc":
            return await asyncio.start_unix_server(serve, f"{self._here.ip}-{port}")
        return await asyncio.start_server(serve, self._here.ip, port)

    def forward_to(self, there: ConnectionInfo) -> None:
        """Forward from now on."""
        self._there.set_result(there)

    async def _forward(self, channel: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.shield(self._there)
        try:
            far_reader, far_writer = await asyncio.open_connection(there.ip, there.ports[channel])
        except OSError:
            writer.close()  # the client's ZMQ tries again by itself
            return
        pumps = [asyncio.ensure_future(_pump(reader, far_writer)), asyncio.ensure_future(_pump(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()
            far_writer.close()

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for server in self._servers:
            server.close()
        self._heartbeat.stop()
        for connection in list(self._connections):
            connection.cancel()
            with suppress(asyncio.CancelledError):
                await connection


class _Heartbeat:
    """Answers heartbeats in a thread that needs neither the event loop nor Python's lock, as kernels do."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def start(self, here: ConnectionInfo, port: int) -> None:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        if here.curve_publickey is not None and here.curve_secretkey is not None:
            socket.curve_publickey = here.curve_publickey.encode()
            socket.curve_secretkey = here.curve_secretkey.encode()
            socket.curve_server = True
        separator = "-" if here.transport == "ipc" else ":"
        try:
            socket.bind(f"{here.transport}://{here.ip}{separator}{port}")
        except zmq.ZMQError:
            socket.close()
            raise
        threading.Thread(target=self._beat, args=(socket,), name="heartbeat", daemon=True).start()

    @staticmethod
    def _beat(socket: zmq.Socket[bytes]) -> None:
        with suppress(zmq.ContextTerminated), socket:
            zmq.proxy(socket, socket)

    def stop(self) -> None:
        self._context.term()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
