"""Starting the process of a local kernel, and what is said where that cannot be done."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from remote_kernel_provider.errors import LaunchError, RefusedError
from remote_kernel_provider.lifecycle import KernelRequest, KernelStatus, Phase
from remote_kernel_provider.local.process import spawn
from remote_kernel_provider.local.records import KernelFolder
from remote_kernel_provider.private_loop import settled

Child = subprocess.Popen[bytes]


def check_user(request: KernelRequest) -> None:
    """Check that the kernel is to run as this host does.

    Raises
    ------
    RefusedError
        When another user or group is asked for.
    """
    for name, own in (("uid", os.getuid()), ("gid", os.getgid())):
        wanted = request.parameters.config.get(name)
        if wanted is not None and wanted != own:
            raise RefusedError(
                f"{name} {wanted} is refused: local kernels run as the host's own {name} {own}; leave {name} out, "
                "or use a kernel in a container"
            )


async def start_child(
    command: list[str], environment: Mapping[str, str], request: KernelRequest, folder: KernelFolder
) -> Child:
    """Start a kernel's process; a cancellation leaves none.

    Raises
    ------
    LaunchError
        When the system refuses the working directory, the command or the environment.
    """
    if not command:
        raise LaunchError(f"{request.spec.file}: 'argv' is empty; a local kernel needs a command")
    working_dir = request.parameters.working_dir
    # In a thread, as the exec of a program on a slow disk can take its time.
    spawning = asyncio.ensure_future(asyncio.to_thread(spawn, command, environment, working_dir, folder.output))
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await settled(spawning)
        if spawning.exception() is None:
            end_child(spawning.result())
        raise
    except OSError as error:
        raise _refused_by_system(request, command, error) from None
    except ValueError as error:  # a NUL, or a character that the system's encoding does not have
        name = request.parameters.kernel_name
        message = f"kernel '{name}': no process can have this command or environment: {error}; mend its parameters"
        raise LaunchError(message, status=KernelStatus(Phase.FAILED, reason="CommandFailed", message=message)) from None


def end_child(child: Child) -> None:
    """End a process, and what it may have started, before anybody watches it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def unwritable(request: KernelRequest, folder: KernelFolder, error: OSError) -> LaunchError:
    """Say that a kernel's folder cannot be written, and what to do."""
    message = (
        f"kernel '{request.parameters.kernel_name}': its folder {folder.path} cannot be written: {error.strerror}; "
        "make room there, or set JUPYTER_RUNTIME_DIR to another"
    )
    return LaunchError(message, status=KernelStatus(Phase.FAILED, reason="FolderNotWritable", message=message))


def _refused_by_system(request: KernelRequest, command: list[str], error: OSError) -> LaunchError:
    """Say which of the working directory and the command it was, and what to do."""
    name = f"kernel '{request.parameters.kernel_name}'"
    if error.filename is not None and error.filename == request.parameters.working_dir:
        message = f"{name}: its working directory {error.filename} cannot be entered: {error.strerror}; choose another"
        return LaunchError(message, status=KernelStatus(Phase.FAILED, reason="WorkingDirectory", message=message))
    reasons = {errno.ENOENT: "CommandNotFound", errno.EACCES: "PermissionDenied"}
    remedy = f"install it or mend argv in {request.spec.file}"
    message = f"{name}: its command '{command[0]}' cannot be run: {error.strerror}; {remedy}"
    status = KernelStatus(Phase.FAILED, reason=reasons.get(error.errno or 0, "CommandFailed"), message=message)
    return LaunchError(message, status=status)
