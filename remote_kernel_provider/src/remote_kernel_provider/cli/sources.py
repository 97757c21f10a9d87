"""What is to be run, whatever it comes from, as a notebook in memory."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from remote_kernel_provider.cli.failures import UsageError

STANDARD_INPUT = "-"

LANGUAGES = {".py": "python", ".ipy": "python", ".r": "R", ".jl": "julia", ".scala": "scala"}
"""Languages of scripts, by their file's ending."""


@dataclass(frozen=True)
class Source:
    """What is to be run.

    Parameters
    ----------
    notebook
        A version 4 notebook without outputs; one cell for a script.
    label
        What messages call it.
    is_notebook
        Whether it was one from the beginning.
    language
        That it is written in; empty = not known.
    kernel
        Name of the kernel spec that it asks for; empty = none.
    folder
        Where the kernel should run, as text; None = the current directory.
    """

    notebook: Any
    label: str
    is_notebook: bool
    language: str = ""
    kernel: str = ""
    folder: str | None = None


def read_source(path: str | None, code: str | None) -> Source:
    """Read a file, `-` for standard input, or the code itself.

    Raises
    ------
    UsageError
        When the file cannot be read, or is neither a notebook nor text.
    """
    if code is not None:
        return _script(code, "the code", "")
    if path is None or path == STANDARD_INPUT:
        return _from_text(_decoded(sys.stdin.buffer.read(), "standard input"), "standard input")
    file = Path(path)
    try:
        text = _decoded(file.read_bytes(), path)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if file.suffix == ".ipynb":
        return _notebook(text, str(file), str(file.resolve().parent))
    return _script(text, str(file), LANGUAGES.get(file.suffix.lower(), ""))


def _decoded(content: bytes, label: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{label} is not text; expected a notebook (.ipynb) or a script") from None


def _from_text(text: str, label: str) -> Source:
    try:
        document = json.loads(text)
    except ValueError:
        return _script(text, label, "")
    is_notebook = isinstance(document, dict) and {"nbformat", "cells"} <= set(document)
    return _notebook(text, label, None) if is_notebook else _script(text, label, "")


def _script(code: str, label: str, language: str) -> Source:
    return Source(new_notebook(cells=[new_code_cell(code)]), label, False, language)  # type: ignore[no-untyped-call]


def _notebook(text: str, label: str, folder: str | None) -> Source:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat mends small faults and says so
            notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            if not isinstance(cell.source, str) or cell.cell_type not in ("code", "markdown", "raw"):
                raise ValueError("a cell has no source or an unknown type")
            if cell.cell_type == "code":
                # What is written later holds the outputs of this run alone.
                cell.outputs, cell.execution_count = [], None
        metadata = dict(notebook.metadata)
        kernelspec = dict(metadata.get("kernelspec") or {})
        language_info = dict(metadata.get("language_info") or {})
    except (ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UsageError(f"{label} is not a notebook: {reason}") from None
    language = str(language_info.get("name") or kernelspec.get("language") or "")
    return Source(notebook, label, True, language, str(kernelspec.get("name") or ""), folder)


def write_notebook(notebook: Any, file: Path) -> None:
    """Write an executed notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    file.write_text(f"{text}\n", encoding="utf-8")
