from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kernel_launchers import listener
from kernel_launchers.listener import Listener, Request
from kernel_launchers.report import Host


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"signum": 2}', Request(signum=2)),
        (b'{"signum": 0}', Request()),
        (b'{"shutdown": 1}', Request(shutdown=True)),
        (b'{"shutdown": 0}', Request()),
        (b'{"signum": 15, "shutdown": 1}', Request(15, True)),
        (b" {}\n", Request()),
    ],
)
def test_parse(data: bytes, expected: Request) -> None:
    assert Request.parse(data) == expected


RUBBISH = [
    b"rubbish",
    b"\xff\xfe\x00",
    b"[]",
    b"2",
    b"null",
    b'{"signum": 2}{"signum": 2}',
    b'{"signum": "2"}',
    b'{"signum": true}',
    b'{"signum": null}',
    b'{"signum": -9}',
    b'{"signum": 65}',
    b'{"signum": 1e400}',
    b'{"signum": ' + b"9" * 4000 + b"}",
    b"[" * 4000,
]


@pytest.mark.parametrize("data", RUBBISH, ids=range(len(RUBBISH)))
def test_parse_refuses(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Request.parse(data)


class Ear:
    """A listener that remembers the signals which it was asked to send."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.listener = Listener(self.server, Host("127.0.0.1", False), self.remember, deadline=0.5)
        self.listener.start()

    def remember(self, signum: int) -> None:
        self.signals.append(signum)
        if signum == 31:
            raise OSError("no permission")

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=3, source_address=(source, 0))

    def send(self, data: bytes, source: str = "127.0.0.1") -> None:
        with self.connect(source) as connection:
            connection.sendall(data)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.listener.stop()


def eventually(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_signals_arrive_in_order(ear: Ear) -> None:
    for signum in range(1, 20):
        ear.send(b'{"signum": %d}' % signum)
    assert eventually(lambda: ear.signals == list(range(1, 20)))


def test_nothing_is_sent_for_a_probe(ear: Ear) -> None:
    ear.send(b'{"signum": 0}')
    ear.send(b"")
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [2])


def test_a_request_may_come_in_pieces(ear: Ear) -> None:
    with ear.connect() as connection:
        for piece in (b'{"sig', b'num": ', b"2}"):
            connection.sendall(piece)
            time.sleep(0.05)
        assert ear.signals == []
    assert eventually(lambda: ear.signals == [2])


def test_rubbish_and_failures_never_end_it(ear: Ear) -> None:
    for data in [*RUBBISH, b"x" * 100_000, b'{"signum": 31}']:
        # An oversized request is cut off while it is being sent.
        try:
            ear.send(data)
        except ConnectionError:
            assert len(data) > listener.MAX_REQUEST
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [31, 2])


def test_silent_and_half_open_peers_hold_nobody_up(ear: Ear) -> None:
    silent = [ear.connect() for _ in range(10)]
    silent[0].sendall(b'{"signum": 9')
    begun = time.monotonic()
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [2])
    assert time.monotonic() - begun < 0.4
    for each in silent:
        assert each.recv(1) == b""  # closed by the listener
        each.close()
    assert ear.signals == [2]


def test_more_connections_than_it_keeps(ear: Ear) -> None:
    crowd = [ear.connect() for _ in range(listener.MAX_CONNECTIONS + 5)]
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [2])
    for each in crowd:
        each.close()


def test_a_reset_connection_is_forgotten(ear: Ear) -> None:
    connection = ear.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [2])


def test_strangers_are_refused(ear: Ear, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with ear.connect("127.0.0.2") as stranger:
            assert stranger.recv(1) == b""
    ear.send(b'{"signum": 2}')
    assert eventually(lambda: ear.signals == [2])
    assert [record.getMessage() for record in caplog.records if "127.0.0.2" in record.getMessage()] == [
        "refused a connection from 127.0.0.2: only the host that the kernel was reported to, 127.0.0.1, may command it"
    ]


def test_shutdown_ends_it(ear: Ear) -> None:
    waiting = ear.connect()
    ear.send(b'{"shutdown": 1}')
    ear.listener.join()
    with pytest.raises(ConnectionRefusedError):
        ear.connect()
    assert waiting.recv(1) == b""
    waiting.close()
    ear.listener.stop()


def test_stop_is_prompt() -> None:
    ear = Ear()
    silent = ear.connect()
    begun = time.monotonic()
    ear.listener.stop()
    assert time.monotonic() - begun < 0.4
    assert not any(thread.name == "kernel-launcher-listener" for thread in threading.enumerate())
    silent.close()
