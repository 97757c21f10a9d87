"""The ear of a launcher, ours or of the gateway family: it takes signals for its kernel, and never answers."""

from __future__ import annotations

import asyncio
import json

from remote_kernel_provider.private_loop import within

DEADLINE = 5.0
"""Seconds that it takes at most to be told."""


async def tell_listener(address: str, port: int, signum: int) -> None:
    """Ask a launcher to send its kernel a signal.

    Parameters
    ----------
    address, port
        Of the listener: its kernel's address, and the port that the launcher reported.
    signum
        Number of the signal.

    Raises
    ------
    OSError
        When nobody listens there: the kernel has ended, or cannot be reached.
    """
    try:
        await within(DEADLINE, _tell(address, port, {"signum": signum}))
    except asyncio.TimeoutError:
        raise TimeoutError(f"{address} port {port} does not answer") from None


async def _tell(address: str, port: int, request: dict[str, int]) -> None:
    _, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(json.dumps(request).encode())
        await writer.drain()
    finally:
        writer.close()
    await writer.wait_closed()
