"""`Backoff`: pauses between attempts at what does not work, longer each time, and no two hosts in step."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Pauses that double, each of them shortened by chance by up to a half.

    Parameters
    ----------
    first, longest
        In seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def seconds(self) -> float:
        """Return how long the next pause is."""
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        return seconds * random.uniform(0.5, 1.0)  # no secret

    async def pause(self) -> None:
        """Wait for one pause."""
        await asyncio.sleep(self.seconds())

    def reset(self) -> None:
        """Begin with the first pause again: something worked."""
        self._next = self._first
