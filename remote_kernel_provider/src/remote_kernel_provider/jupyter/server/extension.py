"""Linking and loading the extension: our classes take the places of the configured ones, as their subclasses.

A class of ours subclasses the stock class whose place it takes (`class RemoteMapping(AsyncMappingKernelManager)`) and
calls `super()`: at run time the class that the server is configured with stands between the two. It acts on kernels of
`RemoteKernelProvisioner` and leaves every other one as it is.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from remote_kernel_provider._version import __version__

OLDEST_SERVER = (2, 6)
"""The first Jupyter Server that tells our classes whose request it serves."""

_PACKAGE = "remote_kernel_provider.jupyter.server"


class Row(NamedTuple):
    """One class of ours and the place that it takes.

    Parameters
    ----------
    ours
        `module.Class` in this package; imported when a server links the extension.
    place
        Trait of the server that names the configured class.
    """

    ours: str
    place: str


TABLE: tuple[Row, ...] = (
    Row("listing.RemoteSpecs", "kernel_spec_manager_class"),
    Row("gap.RemoteGapNotice", "kernel_websocket_connection_class"),
    Row("breaks.RemoteBreakNotice", "kernel_websocket_connection_class"),
    Row("websocket.RemoteWebsocketConnection", "kernel_websocket_connection_class"),
    # It makes the kernel managers, and with them the restarters, of our kernels alone from the configured classes.
    Row("mapping.RemoteMapping", "kernel_manager_class"),
)
"""Our classes; of two in one place, the later one's methods come first."""

ON_LOAD: tuple[str, ...] = ("events.register", "handlers.serve", "survival.adopt_all")
"""Coroutine functions of this package, `module.function`, that get the server before it listens.

There is no such list for a stop: the server's only word then is `RemoteMapping.shutdown_all`, which calls what is due.
"""


def _link_jupyter_server_extension(server: Any) -> None:
    """Put our classes into their places, before the server makes its managers.

    Stands back, with one line in the log, behind a gateway client (the kernels are another server's) and on a server
    that is too old.
    """
    from jupyter_server import version_info
    from jupyter_server.gateway.gateway_client import GatewayClient

    if version_info[:2] < OLDEST_SERVER:
        server.log.warning(
            "remote-kernel-provider %s needs Jupyter Server %d.%d or later; its server extension stands back.",
            __version__,
            *OLDEST_SERVER,
        )
        return
    # The server makes it only after this; without it, it cannot say which classes it would take.
    server.gateway_config = GatewayClient.instance(parent=server)
    if server.gateway_config.gateway_enabled:
        server.log.info("Kernels come from a gateway; the server extension of remote-kernel-provider stands back.")
        return
    for row in TABLE:
        take_place(server, row)


def _load_jupyter_server_extension(server: Any) -> None:
    """Do what is due before the server listens."""
    from remote_kernel_provider.jupyter.server.listing import RemoteSpecs

    if not isinstance(server.kernel_spec_manager, RemoteSpecs):
        return  # it stood back
    for name in ON_LOAD:
        _finish(server, name)
    server.log.info("remote-kernel-provider %s: kernels of its providers are offered.", __version__)


def take_place(server: Any, row: Row) -> None:
    """Let our class stand in for the configured one; one that ours cannot stand on stays, for one line in the log."""
    base, ours = getattr(server, row.place), _ours(row.ours)
    stock = ours.__base__
    if issubclass(base, stock):
        setattr(server, row.place, compose(ours, base))
    else:
        server.log.warning("%s is no %s: remote kernels do without %s.", base, stock.__name__, ours.__name__)


@cache
def compose(ours: type, base: type) -> type:
    """Return a class that is both, with our methods first; the base itself if it is ours already."""
    if issubclass(base, ours):
        return base
    return type(f"Remote{base.__name__}", (ours, base), {"__module__": ours.__module__, "__doc__": ours.__doc__})


def _ours(name: str) -> Any:
    module, _, member = name.rpartition(".")
    return getattr(import_module(f"{_PACKAGE}.{module}"), member)


def _finish(server: Any, name: str) -> None:
    """Finish work on load before the server listens; under a loop that runs already (tests, embedders), soon after."""

    async def work() -> None:
        try:
            await _ours(name)(server)
        except Exception:  # a server without its old kernels beats no server
            server.log.exception("remote-kernel-provider: %s failed.", name)

    if server.io_loop.asyncio_loop.is_running():
        task = asyncio.ensure_future(work())
        _working.add(task)
        task.add_done_callback(_working.discard)
    else:
        server.io_loop.run_sync(work)


_working: set[asyncio.Future[None]] = set()
"""Tasks that nobody awaits, kept from being collected."""
