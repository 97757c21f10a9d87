"""A relay before an API server: it counts, and it can break the connection."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class Relay:
    """Relays TCP connections from a port of loopback, in a thread of its own.

    Parameters
    ----------
    host, port
        Where to.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self.sent = 0
        """Bytes that clients sent."""
        self._server = self._run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        both = {writer, up_writer}
        self._writers |= both
        try:
            flowing = self._flowing
            ways = ((reader, up_writer), (up_reader, writer))
            tasks = [asyncio.ensure_future(self._pump(flowing, *ends)) for ends in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in both:
                end.close()
            self._writers -= both

    async def _pump(self, flowing: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = writer.get_extra_info("peername")[:2] == self._target
        with suppress(OSError):  # either end may be gone at any time
            while data := await reader.read(65536):
                await flowing.wait()
                if not to_server:
                    await self._answering.wait()
                self.sent += len(data) if to_server else 0
                writer.write(data)
                await writer.drain()

    def cut(self) -> None:
        """Break all connections, and take no new ones."""
        self._run(self._cut())

    async def _cut(self) -> None:
        self._open = False
        for writer in self._writers:
            writer.close()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def strand(self) -> None:
        """Let nothing more through the connections that there are, for ever; new ones work.

        So does a network that has forgotten connections, without a word to either end.
        """
        self._loop.call_soon_threadsafe(self._strand)

    def _strand(self) -> None:
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def deafen(self) -> None:
        """Let through what clients send, and no answer."""
        self._loop.call_soon_threadsafe(self._answering.clear)

    def mend(self) -> None:
        """Take connections again, and let everything through."""
        self._open = True
        self._loop.call_soon_threadsafe(self._answering.set)

    def close(self) -> None:
        """End it."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @classmethod
    def before(cls, kubeconfig: Path, written: Path) -> "Relay":
        """Make a relay before a kubeconfig's cluster, and write the kubeconfig that leads through it."""
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        server = urlsplit(cluster["server"])
        relay = cls(str(server.hostname), server.port or 443)
        # The certificate names the server, not the relay.
        cluster |= {"server": f"https://127.0.0.1:{relay.port}", "tls-server-name": server.hostname}
        written.write_text(yaml.safe_dump(document))
        return relay
