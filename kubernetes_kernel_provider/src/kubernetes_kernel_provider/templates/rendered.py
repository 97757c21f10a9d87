"""`RenderedObject`: one object of a template, which knows at which line of it each of its fields stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_kernel_provider.errors import SpecError

Path = tuple[str | int, ...]
"""The steps to a field: names, and indices in lists."""


@dataclass(frozen=True)
class RenderedObject:
    """One object of a template.

    Parameters
    ----------
    document
        As the API takes it.
    file
        The template.
    lines
        The template's line of each field, by its path.
    """

    document: Mapping[str, Any]
    file: str
    lines: Mapping[Path, int] = field(repr=False)

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.document["kind"])

    def line_of(self, field_path: str) -> int:
        """Return the line of a field, or of the nearest that is around it.

        Parameters
        ----------
        field_path
            As the API server writes it: `spec.containers[0].image`, `metadata.annotations[a/b]`.
        """
        path = _path(field_path)
        return next(self.lines[path[:length]] for length in range(len(path), -1, -1) if path[:length] in self.lines)

    def says(self, field_path: str) -> bool:
        """Whether the template says something of a field, or of the part of the object that the field is in."""
        return _path(field_path)[:2] in self.lines

    def error(self, field_path: str, message: str) -> SpecError:
        """Return an error at a field's line."""
        return SpecError(f"{self.file}, line {self.line_of(field_path)}: {field_path} {message}")


def _path(field_path: str) -> Path:
    steps = re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", field_path)
    return tuple(int(index) if index.isdecimal() else index or name for index, name in steps)
