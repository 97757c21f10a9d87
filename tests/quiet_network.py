"""A network of its own for the browser, in which nothing changes.

Chromium breaks the connections that it is making whenever the machine has an address more or less, which is with each
container and pod that comes or goes: pages stay half loaded.
"""

import asyncio
import ctypes
import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000


class QuietNetwork:
    """A network namespace with nothing but loopback, and chosen ports of this machine's loopback.

    Raises
    ------
    OSError
        Where this process may not have one.
    """

    def __init__(self) -> None:
        self._inside = ThreadPoolExecutor(1)
        self._namespace = self._inside.submit(_leave).result()
        self._servers: dict[int, asyncio.Server] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="quiet network", daemon=True)
        self._thread.start()

    def wrap(self, program: str, folder: Path) -> Path:
        """Write a script that runs a program in this network."""
        script = folder / Path(program).name
        script.write_text(f'#!/bin/sh\nexec nsenter --net={self._namespace} {program} "$@"\n')
        script.chmod(0o700)
        return script

    def offer(self, port: int) -> None:
        """Have a port of this machine's loopback in this network, under the same number."""
        if port not in self._servers:
            listener = self._inside.submit(socket.create_server, ("127.0.0.1", port)).result()
            relay = asyncio.start_server(lambda *ends: self._relay(port, *ends), sock=listener)
            self._servers[port] = self._run(relay)

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            ends.append(back)
            both = [asyncio.ensure_future(_pump(*pair)) for pair in ((reader, back), (there, writer))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the server is away for a while
        finally:
            for end in ends:
                end.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        """End it; the browser in it has ended."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._inside.shutdown()

    async def _stop(self) -> None:
        for server in self._servers.values():
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _leave() -> str:
    """Take this thread into a namespace of its own; return the name of that."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
