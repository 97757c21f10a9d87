"""`Connections`: the connections that one loaded configuration leads to, for as long as somebody uses them.

Importing this module imports the official client and its HTTP library, which takes half a second: `ClusterClient` does
so when it is first used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.rest import RESTClientObject

from kubernetes_kernel_provider.client.configuration import LoadedConfiguration, load_configuration
from kubernetes_kernel_provider.client.errors import ClusterError, ClusterUnreachableError
from kubernetes_kernel_provider.client.lean_connector import LeanConnector
from kubernetes_kernel_provider.client.rules import remedy_of_socket
from remote_kernel_provider.errors import ConfigurationError

IDLE = 5.0
"""Seconds after which a connection is closed that no request uses."""

HEARTBEAT = 30.0
"""Seconds between two pings on a WebSocket; one that is not answered ends it."""

FORBIDDEN = 403


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


class Connections:
    """Two pools, one for requests and one for WebSockets.

    Parameters
    ----------
    loaded
        The configuration.

    Raises
    ------
    ConfigurationError
        When the certificates that it names are none.
    """

    def __init__(self, loaded: LoadedConfiguration) -> None:
        self.loaded = loaded
        try:
            self.client = ApiClient(loaded.client)
            self._pool = self.client.rest_client = _Pool(loaded.client)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the certificates of {loaded.source} cannot be used: {error}; see `kubectl config view`"
            ) from None
        self.client.user_agent = "remote-kernel-provider"
        self._sockets: aiohttp.ClientSession | None = None
        self._users = 0

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        accept: str,
        timeout: Mapping[str, Any],
    ) -> aiohttp.ClientResponse:
        """Make a request; its answer, a refusal too, is read within `reading`.

        Parameters
        ----------
        method, path, query, body, content_type, accept
            The request.
        timeout
            In the words of `aiohttp.ClientTimeout`.

        Raises
        ------
        ClusterUnreachableError
            When no answer comes.
        """
        request = await self.client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        with self._reached():
            called = await self.client.call_api(*request, _request_timeout=aiohttp.ClientTimeout(**timeout))
            answer: aiohttp.ClientResponse = called.response
            return answer

    @asynccontextmanager
    async def reading(self, answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
        """Read an answer in the body, and give its connection back."""
        try:
            with self._reached():
                yield
        finally:
            # What was read to its end goes back into the pool; what was not is closed.
            answer.release() if answer.content.at_eof() else answer.close()

    async def open_socket(
        self, path: str, query: Sequence[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        """Open a WebSocket, of a pool that is made on first use; it is used within `talking`.

        Raises
        ------
        ClusterError
            When the cluster refuses it.
        """
        if self._sockets is None:
            self._sockets = _SocketPool(self._pool)._create_pool_manager()
        _, url, headers, *_ = await self.client.param_serialize("GET", path, auth_settings=["BearerToken"])
        try:
            with self._reached():
                return await self._sockets.ws_connect(
                    f"{url}?{urlencode(query)}",
                    protocols=[protocol],
                    headers=headers,
                    proxy=self.client.configuration.proxy,
                    server_hostname=self.client.configuration.tls_server_name,
                    max_msg_size=0,
                    heartbeat=HEARTBEAT,
                )
        except aiohttp.WSServerHandshakeError as error:
            words = f"the cluster refused {path}: {error.status} {error.message}"
            remedy = remedy_of_socket(path) if error.status == FORBIDDEN else ""
            raise ClusterError(f"{words}; {remedy}" if remedy else words, error.status) from None

    @asynccontextmanager
    async def talking(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> AsyncIterator[None]:
        """Use a WebSocket in the body, and close it."""
        with self._reached():
            try:
                yield
            finally:
                await socket.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say of what the HTTP library raises that the cluster cannot be reached; a refused WebSocket is an answer."""
        try:
            yield
        except aiohttp.WSServerHandshakeError:
            raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise ClusterUnreachableError(
                f"the cluster at {self.loaded.client.host} cannot be reached: {words}; see `kubectl cluster-info`"
            ) from None

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count the body as a user of these connections."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @property
    def are_used(self) -> bool:
        """Whether anybody uses them."""
        return self._users > 0

    async def close(self) -> None:
        """Close all connections, whoever uses them."""
        if self._sockets is not None:
            await self._sockets.close()
        await self.client.close()


async def connect(context: str) -> Connections:
    """Load the configuration of a context, and be ready for requests; see `load_configuration`."""
    loaded = await load_configuration(context)
    return await asyncio.to_thread(Connections, loaded)  # it reads certificates
