"""The last words of kernels, whatever they run in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from docker_kernel_provider.engine import Engine
from docker_kernel_provider.errors import EngineRefusalError, EngineUnreachableError

if TYPE_CHECKING:
    from docker import APIClient

LIMIT = 256 * 1024
"""Bytes that are shown."""


async def last_output(engine: Engine, read: Callable[[APIClient], bytes]) -> str:
    """Return what a kernel wrote last; nothing where it is gone or the engine is away.

    Parameters
    ----------
    engine
        Where it is.
    read
        Reads its last lines.
    """
    try:
        text = await engine.run(read)
    except EngineUnreachableError:
        return ""
    except EngineRefusalError as error:
        if error.not_found:
            return ""
        raise
    return text[-LIMIT:].decode(errors="replace").rstrip("\n")
