"""Bounded waits for what tells nobody when it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from remote_kernel_provider.private_loop import PRIVATE_LOOP

T = TypeVar("T")

INTERVAL = 0.02
"""Seconds between two looks."""


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    condition
        Looked at about fifty times a second.
    seconds
        How long at most.
    what
        What is waited for, for the error.

    Raises
    ------
    TimeoutError
        When it does not hold within that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(INTERVAL)


def run(coroutine: Coroutine[Any, Any, T], seconds: float = 120.0) -> T:
    """Run a coroutine on the private loop, from blocking code, for a bounded time.

    Raises
    ------
    TimeoutError
        When it has not ended within that time.
    """
    return PRIVATE_LOOP.submit(coroutine).result(seconds)
