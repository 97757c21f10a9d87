"""`LeanConnector`: TLS connections that take a fifth of the memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

BUFFER = 16 * 1024
"""Bytes that a TLS connection reads at once: one record."""


class LeanConnector(aiohttp.TCPConnector):
    """Makes connections for kernels' channels: many, and each of them mostly silent."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """Make a connection whose buffer is small."""
        connection = await super().connect(req, traces, timeout)
        _shrink_buffer(connection.transport)
        return connection


def _shrink_buffer(transport: asyncio.BaseTransport | None) -> None:
    """Give a TLS connection a buffer of one record.

    asyncio allots 256 KiB to each and has no setting for it. Where it keeps the buffer otherwise, it stays as it is.
    """
    protocol: Any = getattr(transport, "_ssl_protocol", None)
    of_asyncio = {"max_size", "_ssl_buffer", "_ssl_buffer_view"} <= set(dir(protocol))
    if of_asyncio and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        protocol.max_size = BUFFER
        protocol._ssl_buffer = bytearray(BUFFER)
        protocol._ssl_buffer_view = memoryview(protocol._ssl_buffer)
