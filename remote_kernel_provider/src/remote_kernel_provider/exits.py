"""What the end of a process says: from an exit code to a status."""

from __future__ import annotations

import signal

from remote_kernel_provider.status import KernelStatus, Phase


def explain_exit(code: int | None, out_of_memory: bool) -> KernelStatus:
    """Turn an exit code into a status.

    Parameters
    ----------
    code
        As `subprocess` gives it: negative for a signal; None where it is not known, for a process that was another's
        child.
    out_of_memory
        Whether the out-of-memory killer was at work while the process ran.
    """
    if code is None:
        return KernelStatus(
            Phase.FAILED,
            reason="Ended",
            message="its process has ended; the exit code went to the host that started it",
        )
    if code == 0:
        return KernelStatus(Phase.SUCCEEDED, reason="Completed", message="its process ended by itself", exit_code=0)
    if code == -signal.SIGKILL and out_of_memory:
        message = "it ran out of memory: the operating system's out-of-memory killer ended its process; use less data"
        return KernelStatus(Phase.FAILED, reason="OOMKilled", message=message, exit_code=code)
    if code < 0:
        name = _signal_name(-code)
        message = f"its process was ended by signal {-code} ({name})"
        return KernelStatus(Phase.FAILED, reason=name, message=message, exit_code=code)
    words = {126: "the command cannot be executed", 127: "the command was not found"}
    detail = f": {words[code]}" if code in words else ""
    message = f"its process ended with exit code {code}{detail}"
    return KernelStatus(Phase.FAILED, reason="Error", message=message, exit_code=code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
