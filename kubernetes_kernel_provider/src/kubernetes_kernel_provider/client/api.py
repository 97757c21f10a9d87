"""`ClusterClient`: requests to the API server, with dicts, over the official client's configuration and pool."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from kubernetes_kernel_provider.client.configuration import LoadedConfiguration, load_configuration
from kubernetes_kernel_provider.client.connections import Connections
from kubernetes_kernel_provider.client.errors import ClientClosedError, ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.rules import remedy_of_socket

REQUEST_TIMEOUT = 30.0
"""Seconds that the API server has to answer."""

PARALLEL = 100
"""Requests under way at a time; the others wait. Watches and WebSockets do not count: they last."""

HEARTBEAT = 30.0
"""Seconds between two pings on a WebSocket; one that is not answered ends it."""

UNAUTHORIZED, FORBIDDEN = 401, 403

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
                loaded = await load_configuration(self._context)
                current = await asyncio.to_thread(Connections, loaded)  # it reads certificates
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
        timeout = aiohttp.ClientTimeout(REQUEST_TIMEOUT)
        async with (
            self._turns,
            self._answer(method, path, query, body, content_type, timeout, accept) as answer,
        ):
            return _document(await answer.read(), answer.status)

    async def text(self, path: str, *, query: Query | None = None) -> str:
        """Return an answer that is no document, such as a log."""
        timeout = aiohttp.ClientTimeout(REQUEST_TIMEOUT)
        async with self._turns, self._answer("GET", path, query, None, JSON, timeout) as answer:
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
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT, sock_read=silence)
        async with self._answer("GET", path, query, None, JSON, timeout) as answer:
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
                    async with self._socket(connections, path, query, protocol) as socket:
                        yield socket
                        return
                except aiohttp.WSServerHandshakeError as error:
                    if error.status != UNAUTHORIZED or is_last:
                        words = f"the cluster refused {path}: {error.status} {error.message}"
                        remedy = remedy_of_socket(path) if error.status == FORBIDDEN else ""
                        raise ClusterError(f"{words}; {remedy}" if remedy else words, error.status) from None
                except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                    raise _unreachable(connections.loaded.client.host, error) from None
                self._forget(connections)

    @asynccontextmanager
    async def _socket(
        self, connections: Connections, path: str, query: Sequence[tuple[str, str]], protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
        client = connections.client
        _, url, headers, *_ = await client.param_serialize("GET", path, auth_settings=["BearerToken"])
        async with connections.sockets.ws_connect(
            f"{url}?{urlencode(query)}",
            protocols=[protocol],
            headers=headers,
            proxy=client.configuration.proxy,
            server_hostname=client.configuration.tls_server_name,
            max_msg_size=0,
            heartbeat=HEARTBEAT,
        ) as socket:
            yield socket

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give an answer that is no refusal; ask once more with fresh credentials when ours have run out."""
        for is_last in (False, True):
            async with self._used() as connections:
                called = self._call(connections.client, method, path, query, body, content_type, timeout, accept)
                answer = await called
                with suppress(KeyError, ValueError):  # a proxy may have its own mind
                    self._skew = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
                async with _reading(answer):
                    if answer.status < 400:
                        yield answer
                        return
                    text = await answer.read()
                if answer.status != UNAUTHORIZED or is_last:
                    raise ClusterError.from_status(_document(text, answer.status), answer.status)
                self._forget(connections)

    async def _call(
        self,
        client: ApiClient,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str,
    ) -> aiohttp.ClientResponse:
        request = await client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer: aiohttp.ClientResponse = (await client.call_api(*request, _request_timeout=timeout)).response
            return answer
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise _unreachable(client.configuration.host, error) from None

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


@asynccontextmanager
async def _reading(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise _unreachable(f"{answer.url.scheme}://{answer.url.authority}", error) from None
    finally:
        # What was read to its end goes back into the pool; what was not is closed.
        answer.release() if answer.content.at_eof() else answer.close()


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


def _unreachable(host: str, error: BaseException) -> ClusterUnreachableError:
    words = str(error) or type(error).__name__
    return ClusterUnreachableError(f"the cluster at {host} cannot be reached: {words}; see `kubectl cluster-info`")
