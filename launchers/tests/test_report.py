from __future__ import annotations

import base64
import json
import socket
import threading

import pytest
from Cryptodome.Cipher import AES, PKCS1_v1_5
from Cryptodome.PublicKey import RSA

from kernel_launchers import report
from kernel_launchers.errors import LauncherError


@pytest.mark.parametrize("bits", [1024, 2048])
@pytest.mark.parametrize("size", range(15, 18))
def test_the_host_can_read_a_sealed_message(bits: int, size: int, rsa_key: RSA.RsaKey) -> None:
    key = rsa_key if bits == rsa_key.size_in_bits() else RSA.generate(bits)
    info = {"kernel_id": "x" * (size - len('{"kernel_id": ""}') + 16)}
    envelope = json.loads(base64.b64decode(report.seal(info, key.public_key())))
    assert envelope.keys() == {"version", "key", "conn_info"}
    assert envelope["version"] == 1
    aes_key = PKCS1_v1_5.new(key).decrypt(base64.b64decode(envelope["key"]), b"")
    assert len(aes_key) == 16
    plain = AES.new(aes_key, AES.MODE_ECB).decrypt(base64.b64decode(envelope["conn_info"]))
    assert 1 <= plain[-1] <= 16
    assert plain[-plain[-1] :] == plain[-1:] * plain[-1]
    assert json.loads(plain[: -plain[-1]]) == info


def test_seals_differ(rsa_key: RSA.RsaKey) -> None:
    assert report.seal({"a": 1}, rsa_key.public_key()) != report.seal({"a": 1}, rsa_key.public_key())


def test_public_keys(rsa_key: RSA.RsaKey) -> None:
    text = base64.b64encode(rsa_key.public_key().export_key("DER")).decode()
    assert report.read_public_key(text) == rsa_key.public_key()
    assert report.read_public_key(f" {text[:64]}\n{text[64:]}\n") == rsa_key.public_key()
    for wrong in ("", "AAAA", "not base64", text[:-8], base64.b64encode(b"\x30\x03\x02\x01\x01").decode()):
        with pytest.raises(ValueError, match="not an RSA public key"):
            report.read_public_key(wrong)


def test_deliver_sends_all_and_ends_the_stream() -> None:
    message = b"x" * 3_000_000
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                received.extend(iter(lambda: connection.recv(65536), b""))

        thread = threading.Thread(target=serve)
        thread.start()
        host = report.deliver(message, server.getsockname())
        thread.join(10)
    assert b"".join(received) == message
    assert host == report.Host("127.0.0.1", is_this_machine=True)


@pytest.mark.slow
def test_deliver_waits_for_a_host_that_is_not_there_yet() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        threading.Timer(0.3, server.listen).start()
        assert report.deliver(b"x", server.getsockname()).address == "127.0.0.1"


def test_deliver_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAUSES", (0.01, 0.01))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(LauncherError, match=rf"127.0.0.1:{port} after 3 attempts .*refused"):
            report.deliver(b"x", ("127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "remote", "local", "expected"),
    [
        (report.Host("10.0.0.5", False), "10.0.0.5", "10.0.0.9", True),
        (report.Host("10.0.0.5", False), "10.0.0.6", "10.0.0.9", False),
        (report.Host("10.0.0.5", False), "127.0.0.1", "127.0.0.1", False),
        (report.Host("10.0.0.5", True), "127.0.0.1", "127.0.0.1", True),
        (report.Host("10.0.0.5", True), "10.0.0.6", "10.0.0.5", False),
    ],
)
def test_who_is_the_host(host: report.Host, remote: str, local: str, expected: bool) -> None:
    assert host.is_peer(remote, local) is expected
