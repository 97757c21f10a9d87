"""The reported handshake, version 1 of the gateway family: the launcher chooses ports and keys and reports them here.

One `ResponseServer` per process listens while launches expect a report. A report is a single message, encrypted to a
public key that the launcher was given; whatever is not the report of a launch that is expected is dropped and logged,
and costs nobody else anything. The wire format is described on the site's page "Wire formats".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.files import parse_json
from remote_kernel_provider.private_loop import end_task, within

if TYPE_CHECKING:
    from Cryptodome.PublicKey import RSA

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 64 * 1024
"""Bytes of the largest message that is read; a real one has about 1,500."""
MESSAGE_DEADLINE = 10.0
"""Seconds in which a connection must have delivered its message."""
KEY_BITS = 2048
MAX_CONNECTIONS = 64
"""Connections that are served at a time; one more ends the oldest, so that the silent cannot keep launchers out."""
BACKLOG = 16
"""Connections that wait to be accepted: each costs a descriptor of this process as soon as it is."""


@dataclass(frozen=True)
class Report:
    """What a launcher reported.

    Parameters
    ----------
    connection
        Ports and keys; the address is the one that the kernel binds to, not one at which it can be reached.
    comm_port
        Port of the launcher's listener for signals, or 0.
    """

    connection: ConnectionInfo
    comm_port: int


def _new_key() -> RSA.RsaKey:
    # Imported here: kernels with the assigned handshake need no RSA, and the import takes its time.
    from Cryptodome.PublicKey import RSA

    return RSA.generate(KEY_BITS)


class Expectation:
    """A launch whose report is awaited.

    Attributes
    ----------
    address
        `ip:port`, for the launcher.
    public_key
        Base64 of the DER SubjectPublicKeyInfo, for the launcher.
    """

    def __init__(self, kernel_id: str, address: str, key: RSA.RsaKey) -> None:
        self.address = address
        self.public_key = base64.b64encode(key.public_key().export_key("DER")).decode()
        self._kernel_id = kernel_id
        self._key = key
        self._report: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

    async def report(self) -> Report:
        """Wait for the report."""
        return await asyncio.shield(self._report)

    def take(self, message: Mapping[str, str], peer: str) -> bool:
        """Take the message if it is the report of this launch; whether it is."""
        document = _decrypt(message, self._key)
        if document is None or document.get("kernel_id") != self._kernel_id or self._report.done():
            return False
        try:
            report = Report(ConnectionInfo.from_json(document), _comm_port(document))
        except ValueError as error:
            log.warning(
                "The launcher of kernel %s reported something unusable from %s: %s", self._kernel_id, peer, error
            )
            return False
        self._report.set_result(report)
        return True


class ResponseServer:
    """Listens for reports; lives on the private loop.

    Parameters
    ----------
    first_port, retries
        The first port that is tried, and how many after it; 0 = any free port.
    """

    def __init__(self, first_port: int = 0, retries: int = 10) -> None:
        self._first_port = first_port
        self._retries = retries if first_port else 0
        self._servers: dict[str, asyncio.Server] = {}
        self._lock = asyncio.Lock()
        self._serving: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._expected: set[Expectation] = set()
        self._seen: set[str] = set()
        self._key: RSA.RsaKey | None = None

    @asynccontextmanager
    async def expect(self, kernel_id: str, ip: str, bind_ip: str = "") -> AsyncIterator[Expectation]:
        """Expect the report of one launch, for as long as the context lasts.

        Parameters
        ----------
        kernel_id
            The id that the launcher will report.
        ip
            Address at which the launcher reaches this host.
        bind_ip
            Address to listen on, where it differs.

        Raises
        ------
        ConfigurationError
            When the address or all ports that may be tried cannot be listened on.
        """
        async with self._lock:
            port = await self._listen(bind_ip or ip)
            key = await self._key_for(kernel_id)
        expectation = Expectation(kernel_id, f"{ip}:{port}", key)
        self._expected.add(expectation)
        try:
            yield expectation
        finally:
            self._expected.discard(expectation)

    async def _key_for(self, kernel_id: str) -> RSA.RsaKey:
        # A kernel id that comes again is a restart. A new key makes what the launcher before it may still report
        # unreadable, so that a new generation never picks up an old address. Any other launch shares the key: making
        # one takes a third of a second.
        if self._key is None or kernel_id in self._seen:
            self._key = await asyncio.to_thread(_new_key)
            self._seen.clear()
        self._seen.add(kernel_id)
        return self._key

    async def _listen(self, ip: str) -> int:
        if ip not in self._servers:
            error: OSError | None = None
            for port in range(self._first_port, self._first_port + self._retries + 1):
                try:
                    self._servers[ip] = await asyncio.start_server(
                        self._serve, ip, port, limit=MESSAGE_LIMIT, backlog=BACKLOG
                    )
                    break
                except OSError as failure:
                    error = failure
            else:
                last = self._first_port + self._retries
                ports = f"port {last}" if not self._retries else f"any port of {self._first_port}..{last}"
                raise ConfigurationError(
                    f"cannot listen for launchers on {ip}, {ports}: {error and (error.strerror or error)}; set "
                    "response_ip, response_bind_ip or response_port to what this host has"
                )
        port = self._servers[ip].sockets[0].getsockname()[1]
        return int(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._take(reader, writer))
        self._serving[serving] = None
        serving.add_done_callback(lambda _: self._serving.pop(serving, None))
        if len(self._serving) > MAX_CONNECTIONS:
            next(iter(self._serving)).cancel()
        with suppress(asyncio.CancelledError):  # asyncio 3.11 prints the cancellation of a connection's callback
            await asyncio.wait({serving})

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("unknown",))[0])
        try:
            text = await within(MESSAGE_DEADLINE, _read_all(reader))
            message = _parse(text)
            if not any(expectation.take(message, peer) for expectation in list(self._expected)):
                log.warning("A message from %s is not the report of a kernel that is expected; it is dropped.", peer)
        except asyncio.TimeoutError:
            log.warning("%s connected to the response port and sent no whole message; it is dropped.", peer)
        except ValueError as error:
            log.warning("A message from %s on the response port is no report: %s; it is dropped.", peer, error)
        except ConnectionError:
            log.debug("%s closed its connection to the response port.", peer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """Stop listening, and close every connection."""
        for server in self._servers.values():
            server.close()
        self._servers = {}
        for serving in list(self._serving):
            await end_task(serving)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    text = b""
    while piece := await reader.read(MESSAGE_LIMIT):
        text += piece
        if len(text) > MESSAGE_LIMIT:
            raise ValueError(f"it is longer than {MESSAGE_LIMIT} bytes")
    return text


def _parse(text: bytes) -> dict[str, str]:
    try:
        message = parse_json(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64 of JSON") from None
    if not isinstance(message, dict) or message.get("version") != 1:
        raise ValueError("it is not of version 1")
    if not isinstance(message.get("key"), str) or not isinstance(message.get("conn_info"), str):
        raise ValueError("its 'key' or 'conn_info' is missing")
    return message


def _decrypt(message: Mapping[str, str], key: RSA.RsaKey) -> dict[str, Any] | None:
    """Return the document in a message, or None when it was not encrypted to this key."""
    from Cryptodome.Cipher import AES, PKCS1_v1_5
    from Cryptodome.Util.Padding import unpad

    try:
        secret = base64.b64decode(message["key"], validate=True)
        content = base64.b64decode(message["conn_info"], validate=True)
        session_key = PKCS1_v1_5.new(key).decrypt(secret, sentinel=b"", expected_pt_len=16)
        document = parse_json(unpad(AES.new(session_key, AES.MODE_ECB).decrypt(content), AES.block_size))
    except ValueError:  # binascii's, Cryptodome's and json's errors are all ValueErrors
        return None
    return document if isinstance(document, dict) else None


def _comm_port(document: Mapping[str, Any]) -> int:
    value = document.get("comm_port", 0)
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 65536:
        raise ValueError("its 'comm_port' is no port")
    return value
