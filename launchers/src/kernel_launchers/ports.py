"""The ports that a host allows, and sockets bound to them."""

from __future__ import annotations

import errno
import random
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import zmq

from .errors import LauncherError, UsageError

ANY_ADDRESS = "0.0.0.0"
"""Kernels listen on every interface: only the host knows which address it will reach them at."""

PORTS_OF_A_KERNEL = 6
"""The five sockets of the kernel and the launcher's listener."""

MAX_ATTEMPTS = 1000
"""Ports that are tried for one socket before giving up."""

KEEP_ALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 60, zmq.TCP_KEEPALIVE_INTVL: 15, zmq.TCP_KEEPALIVE_CNT: 4}
"""After a minute of silence TCP asks the other side, and after two without an answer it gives the connection up."""

_TAKEN = (errno.EADDRINUSE, errno.EACCES)

Bound = TypeVar("Bound")


@dataclass(frozen=True)
class PortRange:
    """The ports from `lower` to `upper`, both included; equal bounds mean any port.

    Parameters
    ----------
    lower, upper : int
        0 for both, or port numbers.
    """

    lower: int = 0
    upper: int = 0

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Read `lower..upper`, the format of the gateway family.

        Raises
        ------
        UsageError
            If the text has another form, names impossible ports, or leaves too few for one kernel.
        """
        match = re.fullmatch(r"\s*(\d{1,5})\.\.(\d{1,5})\s*", text, re.ASCII)
        if match is None:
            raise UsageError(
                f"port range {text!r}: expected lower..upper, for example 40000..41000, or 0..0 for any port"
            )
        lower, upper = int(match[1]), int(match[2])
        if (lower, upper) == (0, 0):
            return cls()
        if not 1 <= lower <= upper <= 65535:
            raise UsageError(f"port range {text!r}: expected two ports between 1 and 65535, the lower one first")
        if lower < upper < lower + PORTS_OF_A_KERNEL - 1:
            raise UsageError(f"port range {text!r}: a kernel needs at least {PORTS_OF_A_KERNEL} ports")
        return cls(lower, upper)

    @property
    def is_any(self) -> bool:
        """Whether every port is allowed."""
        return self.lower == self.upper

    def bind(self, bind: Callable[[int], Bound]) -> Bound:
        """Return what `bind` returns for the first port that is free.

        Parameters
        ----------
        bind
            Binds a socket to the port that it is given (0 = whichever is free).

        Raises
        ------
        LauncherError
            If every port that was tried is taken.
        """
        for port in self._candidates():
            try:
                return bind(port)
            except (OSError, zmq.ZMQError) as error:
                if error.errno not in _TAKEN:
                    raise
        where = "this machine" if self.is_any else f"the port range {self.lower}..{self.upper}"
        raise LauncherError(f"no free port found on {where}: all that were tried are taken")

    def _candidates(self) -> Iterator[int]:
        if self.is_any:
            # The choice and the bind are one system call, but another process that allows the reuse of
            # addresses, as ZeroMQ does, may have started to listen on the same port just before us.
            yield from [0] * 10
        else:
            ports = range(self.lower, self.upper + 1)
            yield from random.sample(ports, min(len(ports), MAX_ATTEMPTS))


def bind_zmq(zmq_socket: zmq.Socket[Any], ip: str, ports: PortRange) -> int:
    """Bind a ZeroMQ socket and return its port.

    The port belongs to the socket from here on: there is no moment at which it is known but free. TCP asks clients that
    say nothing whether they are there, so that no router or firewall on the way forgets their connections.
    """
    for option, value in KEEP_ALIVE.items():
        zmq_socket.setsockopt(option, value)

    def bind(port: int) -> int:
        zmq_socket.bind(f"tcp://{ip}:{port or '*'}")
        endpoint: bytes = zmq_socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment, unused-ignore]
        return int(endpoint.rpartition(b":")[2].rstrip(b"\0"))

    return ports.bind(bind)


def listen_tcp(ip: str, ports: PortRange) -> socket.socket:
    """Return a plain TCP socket that is bound and listening."""

    def bind(port: int) -> socket.socket:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            server.bind((ip, port))
            server.listen(64)
        except OSError:
            server.close()
            raise
        return server

    return ports.bind(bind)
