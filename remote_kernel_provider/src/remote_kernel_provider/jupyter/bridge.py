"""The bridge: what `argv` of our `kernel.json` runs, for clients that know no provisioners.

Such a client writes a connection file, runs `argv` as a local process and expects a kernel there. The bridge launches
the remote kernel with the key of that file, forwards the file's five ports to it, and stands for it as a process:
SIGINT interrupts the kernel, SIGTERM ends it, and it ends when the kernel does, with its exit code.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import ConfigurationError, LaunchError, RemoteKernelError
from remote_kernel_provider.jupyter.relay import KernelRelay

if TYPE_CHECKING:
    from remote_kernel_provider.lifecycle import KernelStatus
    from remote_kernel_provider.manager import RemoteKernelManager

ENDED_ON_REQUEST = 128 + signal.SIGTERM


@click.command()
@click.option("--kernel", required=True, metavar="PROVIDER/NAME", help="The kernel to launch.")
@click.option(
    "-f",
    "connection_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Connection file whose key the kernel gets and whose ports are forwarded.",
)
def main(kernel: str, connection_file: Path) -> None:
    """Run a remote kernel in the place of a local one, behind the ports of a connection file."""
    try:
        sys.exit(asyncio.run(_Bridge(kernel, _read(connection_file)).run()))
    except LaunchError as error:
        tail = f"\n{error.log_tail}" if error.log_tail else ""
        sys.exit(f"Error: {error}{tail}")
    except RemoteKernelError as error:
        sys.exit(f"Error: {error}")


def _read(file: Path) -> ConnectionInfo:
    try:
        return ConnectionInfo.from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{file} is no connection file of a kernel: {error}") from None


class _Bridge:
    def __init__(self, kernel: str, connection: ConnectionInfo) -> None:
        self._kernel = kernel
        self._connection = connection
        self._ending = asyncio.Event()
        self._interrupts: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Stand for the kernel until one of both ends; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ending.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # nothing to interrupt yet
        relay = KernelRelay(self._connection)
        await relay.listen()
        try:
            manager = await self._until_asked_to_end(self._launch())
            if manager is None:
                return ENDED_ON_REQUEST
            relay.forward_to(manager.connection)
            loop.add_signal_handler(signal.SIGINT, self._interrupt, manager)
            return await self._stand_for(manager)
        finally:
            await relay.close()

    async def _launch(self) -> RemoteKernelManager:
        # Imported behind the open ports: clients wait for the first heartbeat for a second, and this takes half of it.
        from remote_kernel_provider.parameters.environment import split_parameters
        from remote_kernel_provider.parameters.launch_parameters import ClientRequest
        from remote_kernel_provider.provider import claimed_identity, load_provider

        provider_id, _, name = self._kernel.partition("/")
        provider = load_provider(provider_id)
        spec, profile = provider.find(name)
        if spec.handshake != "assigned":
            raise ConfigurationError(
                f"kernel '{self._kernel}' chooses its own key (handshake: reported), so it cannot stand behind a "
                "connection file; use a client with kernel provisioners, or a spec with the handshake 'assigned'"
            )
        values, _ = split_parameters(os.environ)
        request = ClientRequest(
            kernel_id=str(uuid.uuid4()),
            identity=claimed_identity(values),
            values=values,
            working_dir=str(Path.cwd()),
            profile=profile,
            encryption="auto" if self._connection.encrypted else "disabled",
        )
        return await provider.start(spec, request, replaces=self._connection)

    async def _until_asked_to_end(
        self, launching: Coroutine[Any, Any, RemoteKernelManager]
    ) -> RemoteKernelManager | None:
        """Launch, unless the end comes first."""
        task = asyncio.ensure_future(launching)
        await self._first(task)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait([task])
        return None

    async def _stand_for(self, manager: RemoteKernelManager) -> int:
        """Wait until the kernel ends, or end it when that is asked for or nobody is left to ask."""
        waiting = asyncio.ensure_future(manager.wait())
        await self._first(waiting)
        if waiting.done():
            await manager.cleanup()
            return _exit_code(manager.status)
        waiting.cancel()
        await manager.shutdown()
        return ENDED_ON_REQUEST

    async def _first(self, task: asyncio.Future[Any]) -> None:
        """Wait for a task, the request to end, or the end of the client that wants to be outlived by nobody."""
        ends = [asyncio.ensure_future(self._ending.wait()), asyncio.ensure_future(_end_of_client())]
        try:
            await asyncio.wait([task, *ends], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def _interrupt(self, manager: RemoteKernelManager) -> None:
        task = asyncio.ensure_future(manager.interrupt())
        self._interrupts.add(task)
        task.add_done_callback(self._interrupts.discard)


async def _end_of_client() -> None:
    """Return when the client has ended that named itself by Jupyter's `JPY_PARENT_PID`; never without that."""
    from remote_kernel_provider.local.process import WatchedProcess, start_time

    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdecimal() or int(parent) <= 1:
        await asyncio.Event().wait()
    process = WatchedProcess(int(parent), start_time(int(parent)))
    try:
        await process.ended.wait()
    finally:
        process.stop_watching()


def _exit_code(status: KernelStatus) -> int:
    if status.exit_code is None:
        return 1
    return status.exit_code if status.exit_code >= 0 else 128 - status.exit_code


if __name__ == "__main__":
    main()
