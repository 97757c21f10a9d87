"""The address of this host at which pods reach it, as a rule: the one from which it reaches their API server."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from remote_kernel_provider.errors import LaunchError


async def own_address(url: str) -> str:
    """Return the address of this host from which it would reach a server; nothing is sent.

    Parameters
    ----------
    url
        Of the server.

    Raises
    ------
    LaunchError
        When there is none; says what to do.
    """
    server = urlsplit(url)
    port = server.port or (443 if server.scheme == "https" else 80)
    return await asyncio.to_thread(_address, str(server.hostname), port)


def _address(server: str, port: int) -> str:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((server, port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise LaunchError(
            f"no address of this host is known at which pods can reach it ({error}); set response_ip"
        ) from None
