"""Free ports of this machine, never the same one for two kernels."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

from remote_kernel_provider.errors import LaunchError

LOOPBACK = "127.0.0.1"


class PortPool:
    """Chooses free ports and keeps them from being chosen again until they are given back."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

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
        ports = self._reserve(preferred, count)
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

    def give_back(self, ports: Sequence[int]) -> None:
        """Allow ports to be chosen again."""
        self._taken.difference_update(ports)

    def _reserve(self, candidates: Sequence[int], count: int) -> list[int]:
        ports: list[int] = []
        held: list[socket.socket] = []  # all open until the last is chosen, so that none is chosen twice
        try:
            for candidate in candidates:
                if len(ports) == count:
                    break
                if candidate in self._taken:
                    continue
                holder = socket.socket()
                held.append(holder)
                # As ZMQ binds: what a kernel before left behind in TIME_WAIT is no obstacle.
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    holder.bind((LOOPBACK, candidate))
                except OSError:
                    continue
                port = holder.getsockname()[1]
                if port not in self._taken:
                    ports.append(port)
            self._taken.update(ports)
            return ports
        finally:
            for holder in held:
                holder.close()
