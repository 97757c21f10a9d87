"""`ClusterClient`: requests to the API server, with dicts, over the official client's configuration and pool.

The official client is imported when there is a cluster to be asked, and not with this module.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from kubernetes_kernel_provider.client.errors import ClientClosedError, ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.location import find_kubeconfig

if TYPE_CHECKING:
    import aiohttp

    from kubernetes_kernel_provider.client.configuration import LoadedConfiguration
    from kubernetes_kernel_provider.client.connections import Connections

REQUEST_TIMEOUT = 30.0
"""Seconds that the API server has to answer."""

PARALLEL = 100
"""Requests under way at a time; the others wait. Watches and WebSockets do not count: they last."""

WITHIN_TIME = {"total": REQUEST_TIMEOUT}

UNAUTHORIZED = 401

BINARY = 0x2
"""The type of a WebSocket's frames that hold data, by its number in RFC 6455."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What of a list is asked for where its objects' contents are nobody's business."""

Document = dict[str, Any]
Query = Mapping[str, str | int]


class ClusterClient:
    """One connection pool to one API server; lives on the private loop.

    Credentials that have run out are loaded anew; who asks meanwhile keeps the connections that he asks over.

    Parameters
    ----------
    context
        Of the kubeconfig; empty = its current one.
    """

    def __init__(self, context: str = "") -> None:
        self._context = context
        self._current: Connections | None = None
        self._outdated: list[Connections] = []
        self._is_closed = False
        self._loading = asyncio.Lock()
        self._turns = asyncio.Semaphore(PARALLEL)
        self._skew = 0.0

    async def configuration(self) -> LoadedConfiguration:
        """Return where the cluster is, loaded on first use."""
        return (await self._connections()).loaded

    async def _connections(self) -> Connections:
        async with self._loading:
            current = self._current
            if current is None and not self._is_closed:
                find_kubeconfig()  # where there is no cluster, nobody waits for what talks to clusters
                connect = await asyncio.to_thread(_client_library)
                current = await connect(self._context)
            if current is None or self._is_closed:
                raise ClientClosedError
            self._current = current
            return current

    @asynccontextmanager
    async def _used(self) -> AsyncIterator[Connections]:
        connections = await self._connections()
        try:
            with connections.used():
                yield connections
        except (RuntimeError, AssertionError):  # aiohttp's words for a pool that was closed under a request
            if self._is_closed:
                raise ClientClosedError from None
            raise
        finally:
            await self._close_outdated()

    @property
    def server_time(self) -> float:
        """The Unix time of the API server's clock, as of its last answer: hosts' own clocks may differ."""
        return time.time() + self._skew

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Document:
        """Make a request and return the document that answers it.

        Raises
        ------
        ClusterError
            With the cluster's own words.
        """
        async with self._turns, self._answer(method, path, query, body, content_type, accept) as answer:
            return _document(await answer.read(), answer.status)

    async def text(self, path: str, *, query: Query | None = None) -> str:
        """Return an answer that is no document, such as a log."""
        async with self._turns, self._answer("GET", path, query) as answer:
            return (await answer.read()).decode(errors="replace")

    @asynccontextmanager
    async def stream(self, path: str, *, query: Query, silence: float) -> AsyncIterator[AsyncIterator[Document]]:
        """Open an answer that goes on, one document per line.

        Parameters
        ----------
        path, query
            What to ask for.
        silence
            Seconds without a line after which the connection counts as dead.
        """
        timeout = {"total": None, "sock_connect": REQUEST_TIMEOUT, "sock_read": silence}
        async with self._answer("GET", path, query, timeout=timeout) as answer:
            yield _documents(answer)

    @asynccontextmanager
    async def websocket(
        self, path: str, *, query: Sequence[tuple[str, str]], protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
        """Open a WebSocket; each holds a connection of a pool that no request waits for.

        Raises
        ------
        ClusterError
            When the cluster refuses it.
        """
        for is_last in (False, True):
            async with self._used() as connections:
                try:
                    socket = await connections.open_socket(path, query, protocol)
                except ClusterError as error:
                    if error.code != UNAUTHORIZED or is_last:
                        raise
                else:
                    async with connections.talking(socket):
                        yield socket
                        return
                self._forget(connections)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: Mapping[str, Any] = WITHIN_TIME,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give an answer that is no refusal; ask once more with fresh credentials when ours have run out."""
        for is_last in (False, True):
            async with self._used() as connections:
                answer = await connections.ask(method, path, query, body, content_type, accept, timeout)
                with suppress(KeyError, ValueError):  # a proxy may have its own mind
                    self._skew = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
                async with connections.reading(answer):
                    if answer.status < 400:
                        yield answer
                        return
                    text = await answer.read()
                if answer.status != UNAUTHORIZED or is_last:
                    raise ClusterError.from_status(_document(text, answer.status), answer.status)
                self._forget(connections)

    def _forget(self, connections: Connections) -> None:
        """Load the configuration anew with the next request: tokens, certificates and plugins' answers run out."""
        if self._current is connections:
            self._current = None
            self._outdated.append(connections)

    async def _close_outdated(self) -> None:
        for connections in [each for each in self._outdated if not each.are_used]:
            await connections.close()
            with suppress(ValueError):  # another user, who left at the same time, has closed them as well
                self._outdated.remove(connections)

    async def close(self) -> None:
        """Close all connections; whoever asks from now on is told so."""
        self._is_closed = True
        current, self._current = self._current, None
        outdated, self._outdated = self._outdated, []
        for connections in (current, *outdated):
            if connections is not None:
                await connections.close()


async def _documents(answer: aiohttp.ClientResponse) -> AsyncIterator[Document]:
    async for line in answer.content:
        yield _document(line, answer.status)


def _document(text: bytes, status: int) -> Document:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    raise ClusterUnreachableError(
        f"what answered {status} in the API server's place speaks no JSON; look for a proxy or a login page between "
        "this host and the cluster",
        status,
    )


def _client_library() -> Callable[[str], Awaitable[Connections]]:
    """Import what talks to clusters, which takes half a second; return what makes connections."""
    from kubernetes_kernel_provider.client.connections import connect

    return connect
