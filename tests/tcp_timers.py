"""What Linux is about to do with TCP connections of this machine."""

import time
from pathlib import Path

import pytest

TABLE = Path("/proc/net/tcp")
ESTABLISHED = "01"
NONE, KEEPALIVE = "00", "02"
DEADLINE = 5.0


def kept_alive(port: int, *, at_the_server: bool) -> list[bool]:
    """Return of each connection to a port whether one of its ends is to ask the other whether it is there.

    Parameters
    ----------
    port
        On this machine.
    at_the_server
        Whether the end that listened is meant, or the one that connected.
    """
    if not TABLE.exists():
        pytest.skip("only Linux says which timers its connections have")
    deadline = time.monotonic() + DEADLINE
    while True:
        timers = _timers(port, at_the_server)
        # Another one runs while something that was sent is not acknowledged.
        if set(timers) <= {NONE, KEEPALIVE} or time.monotonic() > deadline:
            return [timer == KEEPALIVE for timer in timers]
        time.sleep(0.02)


def _timers(port: int, at_the_server: bool) -> list[str]:
    found = []
    for line in TABLE.read_text().splitlines()[1:]:
        _, local, remote, state, _, timer, *_ = line.split()
        if state == ESTABLISHED and int((local if at_the_server else remote).rpartition(":")[2], 16) == port:
            found.append(timer.partition(":")[0])
    return found
