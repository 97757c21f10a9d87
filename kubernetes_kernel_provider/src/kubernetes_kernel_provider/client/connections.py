"""`Connections`: the connections that one loaded configuration leads to, for as long as somebody uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.rest import RESTClientObject

from kubernetes_kernel_provider.client.configuration import LoadedConfiguration
from kubernetes_kernel_provider.client.lean_connector import LeanConnector
from remote_kernel_provider.errors import ConfigurationError

IDLE = 5.0
"""Seconds after which a connection is closed that no request uses."""


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

    @property
    def sockets(self) -> aiohttp.ClientSession:
        """The pool for WebSockets, made on first use."""
        if self._sockets is None:
            self._sockets = _SocketPool(self._pool)._create_pool_manager()
        return self._sockets

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
