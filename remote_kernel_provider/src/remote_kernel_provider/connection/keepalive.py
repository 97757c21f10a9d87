"""Connections to kernels that stay known on their way while nobody works.

Routers and firewalls forget a connection on which nothing was said for some minutes. Nobody is told: a socket that only
listens, as that of a page for what its kernel publishes, would wait for ever, and a kernel would seem to hang.
"""

from __future__ import annotations

from typing import Any

import zmq

OPTIONS = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 60, zmq.TCP_KEEPALIVE_INTVL: 15, zmq.TCP_KEEPALIVE_CNT: 4}
"""After a minute of silence TCP asks the other side; after two without an answer ZeroMQ connects anew.

The kernels' launchers have the same in `kernel_launchers.ports`.
"""


def keep_alive(context: zmq.Context[Any]) -> None:
    """Have the TCP connections of a context's sockets kept alive that are made from now on.

    Parameters
    ----------
    context
        Of any kind of sockets; those that connect otherwise are as they were.
    """
    for option, value in OPTIONS.items():
        context.setsockopt(option, value)
