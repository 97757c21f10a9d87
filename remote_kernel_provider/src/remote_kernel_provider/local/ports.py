"""Free ports of this machine, never the same one for two kernels."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterable, Sequence

from remote_kernel_provider.errors import LaunchError

LOOPBACK = "127.0.0.1"

HOLDS = sys.platform == "linux"
"""Whether a port can be held while a kernel binds it: Linux lets two sockets that both say SO_REUSEADDR bind one port
as long as none of them listens, and ZMQ's sockets say so."""


class PortPool:
    """Chooses free ports, and keeps everybody else from them until their kernel has them.

    No other program of this machine can take a port between its choice and the moment at which the kernel binds it.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._holders: dict[int, socket.socket] = {}

    def take(self, count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()) -> list[int]:
        """Choose ports.

        Parameters
        ----------
        count
            How many.
        port_range
            Lowest and highest; the same number twice = any.
        preferred
            Ports to take if all of them are free.

        Raises
        ------
        LaunchError
            When the range has too few free ones.
        """
        # What the kernel before left behind in TIME_WAIT is no obstacle for its own successor.
        ports = self._reserve(preferred, count, left_behind=True)
        if len(ports) < count:
            self.give_back(ports)
            lower, upper = port_range
            any_port = lower == upper
            candidates = [0] * (count * 20) if any_port else random.sample(range(lower, upper + 1), upper - lower + 1)
            ports = self._reserve(candidates, count)
        if len(ports) < count:
            self.give_back(ports)
            raise LaunchError(
                f"only {len(ports)} of {count} ports are free in port_range {port_range[0]}..{port_range[1]}; "
                "widen it or end kernels"
            )
        return ports

    def hand_over(self, ports: Iterable[int]) -> None:
        """Stop holding ports that their kernel has bound by now; they are still not chosen again."""
        for port in ports:
            if port in self._holders:
                self._holders.pop(port).close()

    def give_back(self, ports: Iterable[int]) -> None:
        """Allow ports to be chosen again."""
        ports = list(ports)
        self.hand_over(ports)
        self._taken.difference_update(ports)

    def _reserve(self, candidates: Iterable[int], count: int, left_behind: bool = False) -> list[int]:
        ports: list[int] = []
        for candidate in candidates:
            if len(ports) == count:
                break
            holder = None if candidate in self._taken else _bound(candidate, left_behind)
            if holder is not None:
                port = holder.getsockname()[1]
                ports.append(port)
                self._taken.add(port)
                self._holders[port] = holder
        if not HOLDS:
            self.hand_over(ports)
        return ports


def _bound(port: int, left_behind: bool) -> socket.socket | None:
    """Bind a port that nobody has, then allow the kernel to bind it too; None when somebody has it."""
    holder = socket.socket()
    try:
        if left_behind:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, port))
    except OSError:
        holder.close()
        return None
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return holder
