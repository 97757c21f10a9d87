"""What goes wrong, as the command line says it: one line, and an exit status."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import click

from remote_kernel_provider.errors import KernelGoneError, LaunchError, RemoteKernelError

RAISED, WRONG_USAGE, NO_KERNEL, INTERRUPTED = 1, 2, 3, 130
"""Exit statuses: the code raised; wrong input; no kernel, or it died; Ctrl-C."""

OURS = "remote_kernel_provider"


class UsageError(RemoteKernelError):
    """What was typed names something that is not there, or is ambiguous."""


@dataclass(frozen=True)
class Failure:
    """What the user sees of an error, and the exit status."""

    text: str
    status: int


def explain(error: BaseException) -> Failure | None:
    """Return what to say of an error; None when it is a bug, whose traceback is wanted."""
    # Stock Jupyter's faces wrap our errors in exceptions that their callers understand.
    ours = error if isinstance(error, RemoteKernelError) else error.__cause__
    if isinstance(ours, LaunchError):
        tail = f"\nThe kernel's last output:\n{ours.log_tail}" if ours.log_tail else ""
        return Failure(f"Error: {ours}{tail}", NO_KERNEL)
    if isinstance(ours, RemoteKernelError):
        return Failure(f"Error: {ours}", NO_KERNEL if isinstance(ours, KernelGoneError) else WRONG_USAGE)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return Failure(f"Error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", RAISED)
    return None


class _StderrHandler(logging.Handler):
    """Writes a line per record, and the same line once; the other libraries' records only for who debugs."""

    def __init__(self) -> None:
        super().__init__()
        self.debug = False
        self.written: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return self.debug or (record.name.split(".")[0] == OURS and record.levelno >= logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname.capitalize()}: {self.format(record)}"
        # Each provider object that reads a bad spec warns of it.
        if self.debug or line not in self.written:
            self.written.add(line)
            click.echo(line, err=True)


def log_to_stderr(*, debug: bool) -> None:
    """Send what is logged to standard error: our warnings, or everything for who debugs."""
    root = logging.getLogger()
    handler = next((known for known in root.handlers if isinstance(known, _StderrHandler)), None)
    if handler is None:
        handler = _StderrHandler()
        root.addHandler(handler)
    handler.debug = debug
    handler.written = set()
    if debug:
        root.setLevel(logging.DEBUG)
