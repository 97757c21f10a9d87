"""What a kernel sends while it runs, on this process's standard output and standard error as it arrives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import click

from remote_kernel_provider.cli.rendering import size


class LiveOutput:
    """Shows the messages of a kernel's iopub channel.

    Parameters
    ----------
    on_broken
        Called when nobody reads what is written any more, as after `| head`.
    """

    def __init__(self, on_broken: Callable[[], None]) -> None:
        self._on_broken = on_broken
        self._broken = False
        self._within_line: set[str] = set()

    def show(self, message: Mapping[str, Any]) -> None:
        """Show a message, if it is one that carries output."""
        content = message["content"]
        kind = message["msg_type"]
        if kind == "stream":
            self._write(content["name"], content["text"], color=True)
        elif kind in ("display_data", "execute_result"):
            self._line("stdout", _described(content["data"]))
        elif kind == "error":
            self._line("stderr", "\n".join(content["traceback"]) or f"{content['ename']}: {content['evalue']}")

    def _line(self, name: str, text: str) -> None:
        start = "\n" if name in self._within_line else ""
        self._write(name, f"{start}{text}\n")

    def _write(self, name: str, text: str, color: bool | None = None) -> None:
        if self._broken or not text:
            return
        stream: TextIO = sys.stderr if name == "stderr" else sys.stdout
        try:
            # Tracebacks are coloured by the kernel, which knows no terminal; what a program prints is its own business.
            click.echo(text, file=stream, nl=False, color=color)
        except BrokenPipeError:
            self._broken = True
            self._on_broken()
            return
        (self._within_line.discard if text.endswith("\n") else self._within_line.add)(name)


def _described(data: Mapping[str, Any]) -> str:
    """Return the text of a result, or a note for what a terminal cannot show."""
    image = next((kind for kind in data if kind.startswith("image/")), None)
    if image is None and "text/plain" in data:
        return _joined(data["text/plain"])
    kind = image or next(iter(data), None)
    return "" if kind is None else f"[{kind}, {size(_length(kind, data[kind]))}]"


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _length(kind: str, content: Any) -> int:
    text = _joined(content)
    # Binary kinds travel as base64: four characters for three bytes.
    is_text = kind.startswith("text/") or kind.endswith(("+xml", "json"))
    return len(text.encode()) if is_text else len("".join(text.split())) * 3 // 4
