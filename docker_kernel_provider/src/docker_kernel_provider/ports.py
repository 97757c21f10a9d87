"""Ports of kernels in containers, which have all of them to themselves."""

from __future__ import annotations

import random
from collections.abc import Sequence

from remote_kernel_provider.errors import ConfigurationError

ANY_ADDRESS = "0.0.0.0"
ANY_PORT = range(20_000, 32_000)
"""Below those that operating systems give to outgoing connections."""


def inside_ports(count: int, port_range: tuple[int, int], preferred: Sequence[int] = ()) -> tuple[str, Sequence[int]]:
    """Choose the address and the ports that a kernel binds to in its container; see `LifecycleManager.ports`.

    Raises
    ------
    ConfigurationError
        When the range has too few.
    """
    if len(preferred) == count:
        return ANY_ADDRESS, preferred
    lower, upper = port_range
    ports = range(lower, upper + 1) if upper else ANY_PORT
    if len(ports) < count:
        raise ConfigurationError(f"port_range {lower}..{upper} is too small: a kernel needs {count} ports")
    return ANY_ADDRESS, random.sample(ports, count)
