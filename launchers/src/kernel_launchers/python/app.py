"""ipykernel's application with ports that are bound before anyone hears of them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import zmq
from ipykernel.heartbeat import Heartbeat
from ipykernel.kernelapp import IPKernelApp
from traitlets import Instance

from ..ports import PortRange, bind_zmq

_BIND_TIMEOUT = 10.0


class BoundHeartbeat(Heartbeat):  # type: ignore[misc, unused-ignore]
    """A heartbeat that tells its port once it is bound.

    ipykernel's own chooses a port, lets it go, and binds it later on its thread, where a failure is lost.

    Parameters
    ----------
    context : zmq.Context
        The context of its socket; not the kernel's, so that a busy kernel cannot hold the heartbeat up.
    ip : str
        The address to bind to.
    ports : PortRange
        The ports to choose from.
    **curve : bytes
        The CURVE keys, for versions of ipykernel that know them.
    """

    def __init__(self, context: zmq.Context[Any], ip: str, ports: PortRange, **curve: bytes) -> None:
        self._ports = ports
        self._bound: Future[int] = Future()
        super().__init__(context, ("tcp", ip, 0), **curve)

    def pick_port(self) -> int:
        """Choose nothing yet: the port is chosen as it is bound."""
        return 0

    def bound_port(self) -> int:
        """Wait for the thread to bind, and return the port.

        Raises
        ------
        LauncherError
            If there is no free port.
        """
        return self._bound.result(_BIND_TIMEOUT)

    def run(self) -> None:
        """Beat until the context ends; a failure to bind is raised by `bound_port`."""
        try:
            super().run()
        except Exception as error:  # whatever keeps it from binding is for the thread that waits
            if self._bound.done():
                raise
            self._bound.set_exception(error)

    def _bind_socket(self) -> None:
        self.port = bind_zmq(self.socket, self.ip, self._ports)
        self._bound.set_result(self.port)


class LaunchedKernelApp(IPKernelApp):  # type: ignore[misc, unused-ignore]
    """An `IPKernelApp` that takes its ports from the host's range, as it binds its sockets.

    Attributes
    ----------
    port_range : PortRange
        The ports to choose from.
    """

    port_range = Instance(PortRange, args=())

    def init_heartbeat(self) -> None:
        """Start the heartbeat and learn its port."""
        names = ("curve_publickey", "curve_secretkey")
        curve = {name: key for name in names if (key := getattr(self, name, None)) is not None}
        self.heartbeat = BoundHeartbeat(zmq.Context(), self.ip, self.port_range, **curve)
        self.heartbeat.start()
        self.hb_port = self.heartbeat.bound_port()

    def _bind_socket(self, s: zmq.Socket[Any], port: int) -> int:
        return bind_zmq(s, self.ip, self.port_range)
