"""Running a command in a container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubernetes_kernel_provider.client.api import BINARY, REQUEST_TIMEOUT, ClusterClient
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from remote_kernel_provider.private_loop import within

if TYPE_CHECKING:
    import aiohttp

PROTOCOL = "v4.channel.k8s.io"
STATUS_CHANNEL = 3
"""Its one frame is a document of kind `Status`: how the command ended."""


async def run_in_container(client: ClusterClient, pod: str, container: str, command: Sequence[str]) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    client
        Of the cluster.
    pod
        Its path in the API.
    container
        Its name.
    command
        With its arguments; there is no shell between.

    Raises
    ------
    ClusterError
        When the cluster does not run it: the container has ended, for example.
    """
    query = [("container", container), ("stdout", "1"), ("stderr", "1"), *(("command", word) for word in command)]
    async with client.websocket(f"{pod}/exec", query=query, protocol=PROTOCOL) as socket:
        try:
            return await within(REQUEST_TIMEOUT, _exit_code(socket))
        except asyncio.TimeoutError:
            raise ClusterUnreachableError(f"a command in {pod} did not end within {REQUEST_TIMEOUT:g} s") from None


async def _exit_code(socket: aiohttp.ClientWebSocketResponse[bool]) -> int:
    async for frame in socket:
        if frame.type == BINARY and frame.data[:1] == bytes([STATUS_CHANNEL]):
            status = json.loads(frame.data[1:])
            if status.get("status") == "Success":
                return 0
            for cause in (status.get("details") or {}).get("causes") or ():
                if cause.get("reason") == "ExitCode":
                    return int(cause["message"])
            raise ClusterError.from_status(status, 500)
    raise ClusterError("the cluster ended a command without saying how")
