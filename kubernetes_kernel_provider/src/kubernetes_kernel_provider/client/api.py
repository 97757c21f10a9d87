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
from kubernetes.aio.client.rest import RESTClientObject

from kubernetes_kernel_provider.client.configuration import LoadedConfiguration, load_configuration
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.lean_connector import LeanConnector
from kubernetes_kernel_provider.client.rules import remedy_of_socket

REQUEST_TIMEOUT = 30.0
"""Seconds that the API server has to answer."""

PARALLEL = 100
"""Requests under way at a time; the others wait. Watches and WebSockets do not count: they last."""

IDLE = 5.0
"""Seconds after which a connection is closed that no request uses."""

HEARTBEAT = 30.0
"""Seconds between two pings on a WebSocket; one that is not answered ends it."""

FORBIDDEN = 403

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What of a list is asked for where its objects' contents are nobody's business."""

Document = dict[str, Any]
Query = Mapping[str, str | int]


class _Pool(RESTClientObject):
    """The official client's pool, which closes what is not used; watches hold as many connections as there are."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, ssl=self.ssl_context, keepalive_timeout=IDLE)


class _SocketPool(RESTClientObject):
    """The same for WebSockets, of which each keeps its connection: there can be any number."""

    def __init__(self, requests: RESTClientObject) -> None:  # its certificates are read already
        self.configuration, self.ssl_context = requests.configuration, requests.ssl_context

    def _create_connector(self) -> aiohttp.TCPConnector:
        return LeanConnector(limit=0, ssl=self.ssl_context)


class ClusterClient:
    """One connection pool to one API server; lives on the private loop.

    Parameters
    ----------
    context
        Of the kubeconfig; empty = its current one.
    """

    def __init__(self, context: str = "") -> None:
        self._context = context
        self._loaded: LoadedConfiguration | None = None
        self._api: ApiClient | None = None
        self._sockets: aiohttp.ClientSession | None = None
        self._loading = asyncio.Lock()
        self._turns = asyncio.Semaphore(PARALLEL)
        self._skew = 0.0

    async def configuration(self) -> LoadedConfiguration:
        """Return where the cluster is, loaded on first use."""
        await self._client()
        assert self._loaded is not None
        return self._loaded

    async def _client(self) -> ApiClient:
        async with self._loading:
            if self._api is None:
                self._loaded = await load_configuration(self._context)
                self._api = ApiClient(self._loaded.client)
                self._api.rest_client = _Pool(self._loaded.client)
                self._api.user_agent = "remote-kernel-provider"
            return self._api

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
        async with self._turns:
            answer = await self._answer(method, path, query, body, content_type, timeout, accept)
            async with _reading(answer):
                return _document(await answer.read(), answer.status)

    async def text(self, path: str, *, query: Query | None = None) -> str:
        """Return an answer that is no document, such as a log."""
        async with self._turns:
            answer = await self._answer("GET", path, query, None, JSON, aiohttp.ClientTimeout(REQUEST_TIMEOUT))
            async with _reading(answer):
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
        answer = await self._answer("GET", path, query, None, JSON, timeout)
        async with _reading(answer):
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
        client = await self._client()
        if self._sockets is None:
            self._sockets = _SocketPool(client.rest_client)._create_pool_manager()
        _, url, headers, *_ = await client.param_serialize("GET", path, auth_settings=["BearerToken"])
        settings = client.configuration
        try:
            async with self._sockets.ws_connect(
                f"{url}?{urlencode(query)}",
                protocols=[protocol],
                headers=headers,
                proxy=settings.proxy,
                server_hostname=settings.tls_server_name,
                max_msg_size=0,
                heartbeat=HEARTBEAT,
            ) as socket:
                yield socket
        except aiohttp.WSServerHandshakeError as error:
            words = f"the cluster refused {path}: {error.status} {error.message}"
            remedy = remedy_of_socket(path) if error.status == FORBIDDEN else ""
            raise ClusterError(f"{words}; {remedy}" if remedy else words, error.status) from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise _unreachable(settings.host, error) from None

    async def _answer(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        """Return an answer that is no refusal; ask once more with fresh credentials when ours have run out."""
        for attempt in (1, 2):
            client = await self._client()
            answer = await self._call(client, method, path, query, body, content_type, timeout, accept)
            with suppress(KeyError, ValueError):  # a proxy may have its own mind
                self._skew = parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()
            if answer.status < 400:
                return answer
            async with _reading(answer):
                text = await answer.read()
            if answer.status == 401 and attempt == 1:
                await self._forget(client)
                continue
            raise ClusterError.from_status(_document(text, answer.status), answer.status)
        raise AssertionError("the second attempt returns or raises")

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

    async def _forget(self, client: ApiClient) -> None:
        """Load the configuration anew with the next request: tokens, certificates and plugins' answers run out."""
        if self._api is client:
            sockets, self._sockets, self._api = self._sockets, None, None
            if sockets is not None:
                await sockets.close()
            await client.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._api is not None:
            await self._forget(self._api)


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
