"""Asking a cluster that is away until it answers."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClusterError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0
"""Seconds between two questions to a cluster that is away."""

SETTLING = 5.0
"""Seconds in which an API server that has just started may refuse what it permits."""

T = TypeVar("T")


async def until_answered(
    ask: Callable[[], Awaitable[T]],
    tell: Callable[[ClusterError | None], None] = lambda error: None,
    seconds: float = math.inf,
) -> T:
    """Ask, and while the cluster is away ask again.

    Parameters
    ----------
    ask
        What to ask; may have had its effect although no answer came.
    tell
        Told each time that the cluster is away, and None when it is back.
    seconds
        How long to go on.

    Raises
    ------
    ClusterError
        What the cluster answers; or that it is away, when the time is over.
    """
    deadline, away_at, backoff = time.monotonic() + seconds, -math.inf, Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        try:
            answer = await ask()
        except ClusterError as error:
            now = time.monotonic()
            if error.is_passing:
                away_at = now
            elif not (error.is_refusal and now - away_at < SETTLING):
                raise
            if now > deadline:
                raise
            tell(error)
            await backoff.pause()
        else:
            if away_at > 0:
                tell(None)
            return answer
