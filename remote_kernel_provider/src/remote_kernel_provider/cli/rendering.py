"""How values look on a terminal and in a pipe: tables, JSON, ages, sizes, and the line of a launch's progress."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from remote_kernel_provider.launch import LaunchProgress

SHORT = 8
"""Characters of a shortened id, where they suffice."""

TICK = 0.2
"""Seconds between two updates of the progress line."""


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; the last one is not padded, so that no line is longer than it need be."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def echo_json(document: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def shortened(identifier: str, among: Collection[str]) -> str:
    """Return the shortest beginning of an id, of 8 characters at least, that no other one shares."""
    length = SHORT
    while length < len(identifier) and any(
        other != identifier and other.startswith(identifier[:length]) for other in among
    ):
        length += 1
    return identifier[:length]


def age(seconds: float) -> str:
    """Return a duration in its two largest units, such as `2h 5m`."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    left = max(0, int(seconds))
    words: list[str] = []
    for unit, size in units:
        count, left = divmod(left, size)
        if count or (unit == "s" and not words):
            words.append(f"{count}{unit}")
    return " ".join(words[:2])


def size(count: int) -> str:
    """Return a number of bytes in words."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= factor:
            return f"{count / factor:.0f} {unit}" if count >= 10 * factor else f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


class ProgressLine:
    """One line on standard error that tells a launch's phase, message and seconds; silent where that is no terminal.

    Parameters
    ----------
    kernel_name
        What is launched.

    Attributes
    ----------
    seconds
        How long the launch has taken so far.
    """

    def __init__(self, kernel_name: str) -> None:
        self._kernel_name = kernel_name
        self._said = "preparing"
        self._began = time.monotonic()
        self.seconds = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._ticking: threading.Thread | None = None

    def __enter__(self) -> ProgressLine:
        if sys.stderr.isatty():
            self._ticking = threading.Thread(target=self._tick, daemon=True)
            self._ticking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def update(self, progress: LaunchProgress) -> None:
        """Take a step of the launch; called on any thread."""
        message = f": {progress.status.message}" if progress.status.message else ""
        self.seconds = progress.elapsed
        self._said = f"{progress.status.phase.value}{message}"

    @property
    def has_ended(self) -> bool:
        """Whether the launch is over."""
        return self._ended.is_set()

    def end(self) -> None:
        """Remove the line; idempotent."""
        with self._lock:
            if self._ended.is_set():
                return
            if self._ticking is not None:
                self._write("")
            self._ended.set()

    def _tick(self) -> None:
        while not self._ended.wait(TICK):
            elapsed = time.monotonic() - self._began
            text = f"{self._kernel_name}: {self._said} ({elapsed:.0f} s)"
            with self._lock:
                if not self._ended.is_set():
                    self._write(text[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
