"""From a template file and variables to objects.

Jinja and the YAML parser are imported with the first template: who only looks for kernels renders none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes_kernel_provider.templates.rendered import RenderedObject
from remote_kernel_provider.errors import SpecError

if TYPE_CHECKING:
    from kubernetes_kernel_provider.templates.compiling import CompiledTemplate


def load_template(file: Path) -> CompiledTemplate:
    """Return the template in a file; one that has not changed is not compiled again.

    Raises
    ------
    SpecError
        When it cannot be read or is malformed.
    """
    try:
        status = file.stat()
        return _load(file, (status.st_mtime_ns, status.st_size, status.st_ino))
    except OSError as error:
        raise SpecError(f"{file}: cannot be read: {error.strerror}") from None


def render_objects(template: CompiledTemplate, variables: Mapping[str, Any]) -> list[RenderedObject]:
    """Return the objects of a template, with values in the place of names.

    Raises
    ------
    SpecError
        When the template is wrong; names file and line.
    ParameterError
        When a value does not fit the field where it is printed.
    """
    from kubernetes_kernel_provider.templates.composing import compose_objects

    return compose_objects(template.print(variables), template.name)


@lru_cache(maxsize=64)
def _load(file: Path, signature: tuple[int, int, int]) -> CompiledTemplate:
    from kubernetes_kernel_provider.templates.compiling import CompiledTemplate

    try:
        return CompiledTemplate(file.read_text(encoding="utf-8"), os.fspath(file))
    except UnicodeDecodeError:
        raise SpecError(f"{file}: is no UTF-8 text; save it as such") from None
