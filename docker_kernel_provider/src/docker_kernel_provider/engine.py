"""`Engine`: the one client of a process, its threads, and what is known of the engine behind it.

Everything of the SDK's that blocks runs in the threads of this module, and everything that it raises leaves as one of
`errors`. Docker and Swarm share one engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from docker_kernel_provider.errors import EngineRefusalError, EngineUnreachableError
from docker_kernel_provider.location import EngineLocation, locate
from docker_kernel_provider.ssh import SshTunnel
from remote_kernel_provider.threads import DaemonThreads

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")
P = ParamSpec("P")

THREADS = 8
"""Calls at a time: the engine itself starts containers hardly faster in more."""
PULL_THREADS = 4
"""Pulls at a time, which take minutes; one more waits."""
CONNECTIONS = THREADS + PULL_THREADS + 2
"""Connections that are kept; the streams of events of Docker and Swarm have one each."""
_SOCKET_LIKE = "http+docker://"
"""How the SDK names an engine behind a socket."""
ANSWER_DEADLINE = 60.0
"""Seconds that the engine has to answer a call; it needs longest to stop and to remove containers."""


@dataclass(frozen=True)
class EngineFacts:
    """What does not change while an engine runs.

    Parameters
    ----------
    location
        Where it is.
    version
        Of Docker.
    kernel
        The release of the operating system's kernel that it says it runs on.
    rootless
        Whether it runs without root, in a network of its own.
    id
        The engine's own, random id.
    keeps_containers
        Whether containers go on while it is away (live-restore).
    limits
        Whether it enforces limits of memory, processors and processes.
    """

    location: EngineLocation
    version: str
    kernel: str
    rootless: bool
    id: str
    keeps_containers: bool
    limits: bool


class Engine:
    """A Docker engine as this process uses it; made at the first call.

    Parameters
    ----------
    host
        The operator's setting; empty = as the Docker command line finds it.
    """

    def __init__(self, host: str = "") -> None:
        self._setting = host
        self._threads = DaemonThreads(THREADS, "docker")
        self._pulls = DaemonThreads(PULL_THREADS, "docker-pull")
        self._connecting = asyncio.Lock()
        self._client: APIClient | None = None
        self._location: EngineLocation | None = None
        self._facts: EngineFacts | None = None
        self.tunnel: SshTunnel | None = None
        """The way to it and to its machine; None where it needs no ssh, and before the first call."""

    async def run(self, function: Callable[Concatenate[APIClient, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run a function that takes the client in one of the threads.

        Raises
        ------
        EngineUnreachableError
            When the engine does not answer.
        EngineRefusalError
            When it answers with an error.
        """
        client = await self.client()
        return await self._in_thread(self._threads, lambda: function(client, *arguments, **named))

    async def run_long(self, function: Callable[[APIClient], T]) -> T:
        """Run what takes minutes, in threads of its own."""
        client = await self.client()
        return await self._in_thread(self._pulls, lambda: function(client))

    async def client(self) -> APIClient:
        """Return the client, connected once; by ssh, with that connected, too."""
        location = await self.location()
        base_url = location.host
        if location.is_by_ssh:
            self.tunnel = self.tunnel or SshTunnel(location.host)
            base_url = f"unix://{await self.tunnel.open()}"
        async with self._connecting:
            if self._client is None:
                _check_socket(location)
                self._client = await self._in_thread(self._threads, lambda: _connect(base_url, location.tls))
            return self._client

    async def location(self) -> EngineLocation:
        """Return where the engine is; asks nobody but this machine's files and environment."""
        if self._location is None:
            self._location = await asyncio.wrap_future(self._threads.submit(locate, self._setting))
        return self._location

    async def facts(self) -> EngineFacts:
        """Return what is known of the engine; it is asked once."""
        if self._facts is None:
            location = await self.location()
            self._facts = await self.run(_facts, location)
        return self._facts

    async def _in_thread(self, threads: DaemonThreads, job: Callable[[], T]) -> T:
        def mapped() -> T:
            with engine_errors(self._location):
                return job()

        return await asyncio.wrap_future(threads.submit(mapped))

    async def close(self) -> None:
        """Release the connections and the threads."""
        if self._client is not None:
            self._client.close()
        if self.tunnel is not None:
            await self.tunnel.close()
        self._client = self._location = self._facts = self.tunnel = None
        self._threads.close()
        self._pulls.close()


@contextmanager
def engine_errors(location: EngineLocation | None) -> Iterator[None]:
    """Turn what the SDK raises into errors of ours."""
    import docker.errors
    import requests
    import urllib3.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        raise EngineRefusalError(error.status_code or 0, str(error.explanation or error).strip()) from None
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise unreachable(location, error) from None


def unreachable(location: EngineLocation | None, error: Exception | None = None) -> EngineUnreachableError:
    """Say that the engine does not answer, and what to do."""
    where = f" at {location.host} ({location.source})" if location else ""
    words = _innermost(error) if error else ""
    remedy = "start it, or correct DOCKER_HOST, the Docker context or the setting docker_host"
    if location and location.is_by_ssh:
        remedy = "start it there; who comes by ssh must be allowed to use its socket"
    elif location and location.socket is None and not location.tls and "400 Client Error" in words:
        remedy = "it seems to want TLS: set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of its certificates"
    detail = f" ({words})" if words else ""
    return EngineUnreachableError(f"the Docker engine{where} cannot be reached{detail}; {remedy}")


def _innermost(error: BaseException) -> str:
    """Return the operating system's words, which the SDK's errors wrap several times."""
    reason: BaseException = error
    while True:
        inner = reason.__cause__ or reason.__context__
        inner = inner or next((part for part in reason.args if isinstance(part, BaseException)), None)
        if inner is None or (isinstance(reason, OSError) and reason.strerror):
            break
        reason = inner
    words = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return words or type(reason).__name__


def _check_socket(location: EngineLocation) -> None:
    """Say of an engine whose socket is not there what the SDK would say, without importing it."""
    if location.socket is not None:
        try:
            location.socket.stat()
        except OSError as error:
            raise unreachable(location, error) from None


def _connect(base_url: str, tls: Any) -> APIClient:
    import docker
    from requests.adapters import HTTPAdapter

    class Client(docker.APIClient):  # type: ignore[misc]  # the SDK is imported with its first use
        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            # Else certificates that the environment names would take the place of the engine's own authority.
            verify = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, verify, cert)

    client = Client(
        base_url=base_url,
        tls=tls or False,
        version="auto",
        timeout=ANSWER_DEADLINE,
        max_pool_size=CONNECTIONS,
    )
    if client.base_url.startswith(_SOCKET_LIKE):
        # The SDK has a pool of connections for each URL here, and nearly every request has a URL of its own: none
        # would ever use another's connection.
        adapter = client.get_adapter(client.base_url)
        pool_of = adapter.get_connection
        adapter.get_connection = lambda url, proxies=None: pool_of(_SOCKET_LIKE, proxies)
    else:
        for scheme in ("http://", "https://"):
            client.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))
    return client


def _facts(client: APIClient, location: EngineLocation) -> EngineFacts:
    said: dict[str, Any] = client.info()
    return EngineFacts(
        location=location,
        version=str(said.get("ServerVersion", "")),
        kernel=str(said.get("KernelVersion", "")),
        rootless=any("rootless" in option for option in said.get("SecurityOptions") or ()),
        id=str(said.get("ID", "")),
        keeps_containers=said.get("LiveRestoreEnabled") is True,
        limits=all(said.get(name) is not False for name in ("MemoryLimit", "CpuCfsQuota", "PidsLimit")),
    )
