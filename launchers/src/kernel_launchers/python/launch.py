"""The launch of a Python kernel: bind, report, run, and leave nothing behind."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ..arguments import LauncherArguments
from ..errors import LauncherError, UsageError
from ..listener import Listener
from ..ports import ANY_ADDRESS, listen_tcp
from ..report import deliver, seal
from .private_directory import PrivateDirectory

try:
    from ipykernel.kernelbase import Kernel
    from traitlets.utils.importstring import import_item

    from .app import LaunchedKernelApp
    from .curve import make_keys
except ImportError as error:
    raise LauncherError(
        f"ipykernel cannot be imported ({error}): install remote-kernel-launchers[python] where the kernel runs"
    ) from error

EXIT_GRACE = 10.0
"""Seconds that threads of user code may outlive the kernel; more than the 5 that Jupyter gives a local kernel."""


def launch(arguments: LauncherArguments) -> None:
    """Start a kernel in this process, report it, and return when it has ended.

    The kernel is reported when it is complete and all its ports are bound, so a kernel that cannot start is
    never reported. Must be called on the main thread.

    Raises
    ------
    LauncherError
        If the kernel cannot be started or the host cannot be reached.
    """
    _check_kernel_class(arguments.kernel_class_name)
    curve = make_keys(arguments.transport_encryption)
    directory = PrivateDirectory()
    app = _initialize(arguments, directory.path / f"kernel-{arguments.kernel_id}.json", curve)
    server = listen_tcp(ANY_ADDRESS, arguments.port_range)
    report = {
        **json.loads(Path(app.abs_connection_file).read_text()),
        "kernel_id": arguments.kernel_id,
        "pid": os.getpid(),
        "pgid": os.getpgrp(),
        "comm_port": server.getsockname()[1],
    }
    host = deliver(seal(report, arguments.public_key), arguments.response_address)
    listener = Listener(server, host, lambda signum: _send_signal(signum, directory))
    listener.start()
    # At exit, not when the kernel returns: the host can still end a process that its user's threads keep alive.
    atexit.register(listener.stop)
    app.start()
    _limit_exit(directory)


def _check_kernel_class(name: str) -> None:
    try:
        kernel_class = import_item(name)
    except Exception as error:  # importing runs code that may raise anything
        raise UsageError(f"kernel class {name!r} cannot be imported: {error}") from error
    if not (isinstance(kernel_class, type) and issubclass(kernel_class, Kernel)):
        raise UsageError(f"kernel class {name!r} is not a subclass of ipykernel.kernelbase.Kernel")


def _initialize(arguments: LauncherArguments, connection_file: Path, curve: dict[str, bytes]) -> Any:
    app = LaunchedKernelApp.instance(port_range=arguments.port_range, **curve)
    app.session.key = secrets.token_hex(32).encode()
    # As a command line, because that wins over the configuration files of the image.
    app.initialize(
        [
            "--IPKernelApp.transport=tcp",
            f"--IPKernelApp.ip={ANY_ADDRESS}",
            f"--IPKernelApp.connection_file={connection_file}",
            f"--IPKernelApp.kernel_class={arguments.kernel_class_name}",
            # To ipykernel 1 is a parent that never ends; 0 would make it print advice for people at a terminal.
            "--IPKernelApp.parent_handle=1",
        ]
    )
    return app


def _send_signal(signum: int, directory: PrivateDirectory) -> None:
    if signum == signal.SIGKILL:  # after it nothing can be tidied
        directory.remove()
    os.kill(os.getpid(), signum)


def _limit_exit(directory: PrivateDirectory) -> None:
    """Leave no process behind, even if user code left a thread that never ends."""

    def end() -> None:
        time.sleep(EXIT_GRACE)
        directory.remove()
        os._exit(0)

    threading.Thread(target=end, name="kernel-launcher-exit", daemon=True).start()
