"""The response server, on real sockets: what it takes, what it drops, and whom that disturbs (nobody)."""

import asyncio
import base64
import itertools
import json
import re
import socket
import uuid
from contextlib import suppress

import pytest
from Cryptodome.Cipher import AES, PKCS1_v1_5
from Cryptodome.PublicKey import RSA
from Cryptodome.Random import get_random_bytes
from Cryptodome.Util.Padding import pad

from remote_kernel_provider.connection import reported
from remote_kernel_provider.connection.reported import ResponseServer
from remote_kernel_provider.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
NEW_KEY = reported._new_key


@pytest.fixture(scope="module")
def some_keys():
    return [RSA.generate(1024) for _ in range(3)]


@pytest.fixture(autouse=True)
def keys_in_turn(monkeypatch, some_keys):
    """Take short keys in turn: no two that follow each other are the same, and making them costs each test nothing."""
    monkeypatch.setattr(reported, "_new_key", itertools.cycle(some_keys).__next__)


def test_keys_are_of_a_size_that_holds():
    assert reported.KEY_BITS >= 2048
    assert NEW_KEY().size_in_bits() == reported.KEY_BITS


def document(kernel_id: str, **fields) -> dict:
    return {
        "shell_port": 1025, "iopub_port": 1026, "stdin_port": 1027, "control_port": 1028, "hb_port": 1029,
        "ip": "0.0.0.0", "key": "the key", "transport": "tcp", "signature_scheme": "hmac-sha256",
        "kernel_name": "python", "kernel_id": kernel_id, "pid": 7, "pgid": "7", "comm_port": 1030, **fields,
    }  # fmt: skip


def seal(public_key: str, content: object, version: object = 1) -> bytes:
    """Write a report as the launchers of the gateway family do."""
    key = get_random_bytes(16)
    secret = PKCS1_v1_5.new(RSA.import_key(base64.b64decode(public_key))).encrypt(key)
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    sealed = AES.new(key, AES.MODE_ECB).encrypt(pad(text, 16))
    message = {
        "version": version,
        "conn_info": base64.b64encode(sealed).decode(),
        "key": base64.b64encode(secret).decode(),
    }
    return base64.b64encode(json.dumps(message).encode())


async def send(address: str, message: bytes) -> None:
    """Send a message, close, and wait until the other side has closed too."""
    ip, port = address.split(":")
    reader, writer = await asyncio.open_connection(ip, int(port))
    with suppress(ConnectionError):
        writer.write(message)
        writer.write_eof()
        await writer.drain()
        assert await asyncio.wait_for(reader.read(), 15) == b""
    writer.close()


@pytest.fixture
async def server():
    server = ResponseServer()
    yield server
    await server.close()


async def within(awaitable, seconds=10):
    return await asyncio.wait_for(awaitable, seconds)


async def test_a_report(server):
    kernel_id = str(uuid.uuid4())
    async with server.expect(kernel_id, LOOPBACK) as expectation:
        await send(expectation.address, seal(expectation.public_key, document(kernel_id)))
        report = await within(expectation.report())
    assert report.connection.ports == (1025, 1026, 1027, 1028, 1029)
    assert (report.connection.key, report.comm_port) == ("the key", 1030)
    assert "the key" not in repr(report)


@pytest.mark.parametrize(
    "fields", [{"comm_port": "1030"}, {"comm_port": 0}, {"curve_publickey": "p" * 40, "curve_secretkey": "s" * 40}]
)
async def test_what_launchers_spell_in_their_own_way(server, fields):
    async with server.expect("id", LOOPBACK) as expectation:
        await send(expectation.address, seal(expectation.public_key, document("id", **fields)))
        report = await within(expectation.report())
    assert report.connection.encrypted == ("curve_publickey" in fields)


RUBBISH = {
    "nothing": lambda key: b"",
    "no base64": lambda key: b"\xff\x00rubbish!",
    "no JSON": lambda key: base64.b64encode(b"rubbish"),
    "nested": lambda key: base64.b64encode(b"[" * 40_000),
    "a list": lambda key: base64.b64encode(b"[1]"),
    "version 0": lambda key: seal(key, document("id"), 0),
    "version '1'": lambda key: seal(key, document("id"), "1"),
    "no key": lambda key: base64.b64encode(json.dumps({"version": 1, "conn_info": "eA=="}).encode()),
    "numbers": lambda key: base64.b64encode(json.dumps({"version": 1, "conn_info": 1, "key": 2}).encode()),
    "another key": lambda key: seal(base64.b64encode(OTHER.public_key().export_key("DER")).decode(), document("id")),
    "no base64 inside": lambda key: base64.b64encode(json.dumps({"version": 1, "conn_info": "é", "key": "é"}).encode()),
    "half a block": lambda key: base64.b64encode(
        json.dumps({"version": 1, "conn_info": "eA==", "key": "eA=="}).encode()
    ),
    "not JSON inside": lambda key: seal(key, b"rubbish"),
    "nested inside": lambda key: seal(key, b"[" * 30_000),
    "a list inside": lambda key: seal(key, [1]),
    "oversize": lambda key: b"A" * 10**6,
    "another kernel": lambda key: seal(key, document("another")),
    "no kernel": lambda key: seal(key, document(None)),
    "no port": lambda key: seal(key, document("id", hb_port=None)),
    "port 0": lambda key: seal(key, document("id", shell_port=0)),
    "port true": lambda key: seal(key, document("id", shell_port=True)),
    "port 65536": lambda key: seal(key, document("id", shell_port=65536)),
    "a key of another type": lambda key: seal(key, document("id", key=5)),
    "a comm_port of another type": lambda key: seal(key, document("id", comm_port=[1])),
    "a comm_port below zero": lambda key: seal(key, document("id", comm_port=-1)),
    "half CURVE": lambda key: seal(key, document("id", curve_publickey="short", curve_secretkey="short")),
}
OTHER = RSA.generate(1024)


@pytest.mark.parametrize("kind", RUBBISH)
async def test_rubbish_is_dropped_with_one_line_and_costs_nobody_anything(server, caplog, kind):
    async with server.expect("id", LOOPBACK) as expectation:
        await send(expectation.address, RUBBISH[kind](expectation.public_key))
        lines = [record.getMessage() for record in caplog.records]
        assert lines
        assert all(LOOPBACK in line for line in lines)
        assert len(lines) <= 2
        assert not any("the key" in line for line in lines)
        await send(expectation.address, seal(expectation.public_key, document("id")))
        assert (await within(expectation.report())).connection.key == "the key"


async def test_a_replay_changes_nothing(server, caplog):
    async with server.expect("id", LOOPBACK) as expectation:
        message = seal(expectation.public_key, document("id"))
        await send(expectation.address, message)
        await send(expectation.address, seal(expectation.public_key, document("id", key="another", shell_port=2000)))
        await send(expectation.address, message)
        assert (await within(expectation.report())).connection.ports[0] == 1025
    await send(expectation.address, message)
    assert len([record for record in caplog.records if "is dropped" in record.getMessage()]) == 3


async def test_many_launches_share_one_port(server):
    async def one(kernel_id: str) -> int:
        async with server.expect(kernel_id, LOOPBACK) as expectation:
            port = 2000 + int(kernel_id)
            await send(expectation.address, seal(expectation.public_key, document(kernel_id, shell_port=port)))
            report = await within(expectation.report())
            assert report.connection.shell_port == port
            return int(expectation.address.split(":")[1])

    assert len(set(await asyncio.gather(*(one(str(number)) for number in range(20))))) == 1


async def test_who_connects_and_says_nothing_delays_nobody(server, monkeypatch, caplog):
    monkeypatch.setattr(reported, "MESSAGE_DEADLINE", 0.3)
    async with server.expect("id", LOOPBACK) as expectation:
        ip, port = expectation.address.split(":")
        silent = [await asyncio.open_connection(ip, int(port)) for _ in range(20)]
        halting, _ = silent[0][1], silent[0][0]
        halting.write(b"eyJ2")
        await send(expectation.address, seal(expectation.public_key, document("id")))
        await within(expectation.report(), 5)
        # Each of them is cut off when its own deadline has passed.
        for reader, writer in silent:
            assert await within(reader.read(), 5) == b""
            writer.close()
    assert "sent no whole message" in caplog.text


async def test_a_message_may_come_in_pieces(server):
    async with server.expect("id", LOOPBACK) as expectation:
        ip, port = expectation.address.split(":")
        _, writer = await asyncio.open_connection(ip, int(port))
        message = seal(expectation.public_key, document("id"))
        for start in range(0, len(message), 100):
            writer.write(message[start : start + 100])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()
        await within(expectation.report())


async def test_a_peer_that_resets_its_connection(server):
    async with server.expect("id", LOOPBACK) as expectation:
        ip, port = expectation.address.split(":")
        for _ in range(5):
            peer = socket.create_connection((ip, int(port)))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.send(b"x")
            peer.close()
        await send(expectation.address, seal(expectation.public_key, document("id")))
        await within(expectation.report())


async def test_the_key_of_a_restart_is_new_and_the_old_launchers_report_useless(server):
    async with server.expect("id", LOOPBACK) as before:
        late = seal(before.public_key, document("id", shell_port=2000))
    async with server.expect("another", LOOPBACK) as other:
        assert other.public_key == before.public_key
    async with server.expect("id", LOOPBACK) as after:
        assert after.public_key != before.public_key
        await send(after.address, late)
        await send(after.address, seal(after.public_key, document("id", shell_port=3000)))
        assert (await within(after.report())).connection.shell_port == 3000


async def test_the_key_of_a_launch_under_way_stays_valid_when_another_restarts(server):
    async with server.expect("one", LOOPBACK) as one:
        async with server.expect("two", LOOPBACK):
            pass
        async with server.expect("two", LOOPBACK) as two:
            assert two.public_key != one.public_key
            await send(one.address, seal(one.public_key, document("one")))
            await within(one.report())


class TestPorts:
    @pytest.fixture
    def first_port(self):
        """A port that is taken, and has free ones after it."""
        for port in range(24000, 25000, 10):
            with socket.socket() as taken, suppress(OSError):
                taken.bind((LOOPBACK, port))
                taken.listen()
                yield port
                return
        pytest.fail("no free port")

    async def test_the_next_ones_are_tried(self, first_port):
        server = ResponseServer(first_port, 9)
        async with server.expect("id", LOOPBACK) as expectation:
            assert first_port < int(expectation.address.split(":")[1]) <= first_port + 9
        await server.close()

    async def test_none_is_free(self, first_port):
        server = ResponseServer(first_port, 0)
        with pytest.raises(
            ConfigurationError, match=rf"cannot listen .* on 127\.0\.0\.1, port {first_port}: .*response_port"
        ):
            async with server.expect("id", LOOPBACK):
                pass

    async def test_an_address_that_this_host_does_not_have(self, server):
        with pytest.raises(ConfigurationError) as error:
            async with server.expect("id", "192.0.2.1"):
                pass
        assert "cannot listen for launchers on 192.0.2.1" in str(error.value)
        # Python 3.13 words it in its own way.
        assert re.search("assign requested address|could not bind on any address", str(error.value))
        assert "set response_ip, response_bind_ip or response_port" in str(error.value)

    async def test_the_address_that_is_told_may_differ_from_the_one_listened_on(self, server):
        async with server.expect("id", "192.0.2.1", LOOPBACK) as expectation:
            ip, port = expectation.address.split(":")
            assert ip == "192.0.2.1"
            await send(f"{LOOPBACK}:{port}", seal(expectation.public_key, document("id")))
            await within(expectation.report())

    async def test_nothing_listens_after_close(self, server):
        async with server.expect("id", LOOPBACK) as expectation:
            pass
        await server.close()
        with pytest.raises(ConnectionError):
            await send(expectation.address, b"x")


async def test_close_closes_the_connections_of_the_silent():
    server = ResponseServer()
    async with server.expect("kernel", "127.0.0.1") as expectation:
        host, _, port = expectation.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"half a mess")
        await writer.drain()
        await asyncio.sleep(0)
    await server.close()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
