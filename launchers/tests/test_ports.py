from __future__ import annotations

import errno
import socket

import pytest
import zmq

from kernel_launchers.errors import LauncherError, UsageError
from kernel_launchers.ports import PortRange, bind_zmq, listen_tcp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0..0", PortRange()),
        (" 40000..41000 ", PortRange(40000, 41000)),
        ("40000..40005", PortRange(40000, 40005)),
        ("40000..40000", PortRange(40000, 40000)),
    ],
)
def test_parse(text: str, expected: PortRange) -> None:
    assert PortRange.parse(text) == expected
    assert PortRange.parse(text).is_any == (expected.lower == expected.upper)


@pytest.mark.parametrize(
    "text", ["", "40000", "40000-41000", "a..b", "41000..40000", "40000..70000", "0..1000", "-1..9", "40000..40004"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="port range"):
        PortRange.parse(text)


def test_bind_takes_the_only_free_port_of_a_range() -> None:
    tried: list[int] = []

    def bind(port: int) -> int:
        tried.append(port)
        if port != 40003:
            raise OSError(errno.EADDRINUSE, "taken")
        return port

    assert PortRange(40000, 40009).bind(bind) == 40003
    assert len(tried) == len(set(tried)) <= 10


@pytest.mark.parametrize("ports", [PortRange(), PortRange(20000, 60000)])
def test_bind_gives_up(ports: PortRange) -> None:
    tried: list[int] = []

    def bind(port: int) -> None:
        tried.append(port)
        raise OSError(errno.EADDRINUSE, "taken")

    with pytest.raises(LauncherError, match="no free port found"):
        ports.bind(bind)
    assert len(tried) <= 1000


def test_bind_does_not_hide_other_errors() -> None:
    def bind(port: int) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "no such address")

    with pytest.raises(OSError, match="no such address"):
        PortRange().bind(bind)


@pytest.mark.parametrize("ports", [PortRange(), PortRange(20000, 30000)])
def test_what_is_returned_is_bound(ports: PortRange) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        port = bind_zmq(router, "127.0.0.1", ports)
        assert_taken(port)
        assert ports.is_any or ports.lower <= port <= ports.upper
    with listen_tcp("127.0.0.1", ports) as server:
        assert_taken(server.getsockname()[1])


def assert_taken(port: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
