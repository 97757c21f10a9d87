"""Medians of alternated measurements, as ratios: what the machine does meanwhile hits both sides alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Measurement = Callable[[], Awaitable[float]]
"""Does the thing once and returns its seconds."""


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Parameters
    ----------
    name
        What was measured.
    ours, theirs
        Medians, in seconds (or in `unit`, where `theirs` is None).
    limit
        What the ratio, or `ours` alone, must not exceed.
    rounds
        Measurements of each side.
    unit
        Of `ours`, where `theirs` is None.
    """

    name: str
    ours: float
    theirs: float | None
    limit: float
    rounds: int
    unit: str = "%"

    @property
    def value(self) -> float:
        return self.ours if self.theirs is None else self.ours / self.theirs

    def __str__(self) -> str:
        verdict = "ok" if self.value <= self.limit else "MISSED"
        if self.theirs is None:
            return f"{self.name:<58} {self.ours:8.3f} {self.unit}  {'':>10}  {'':>6}  <= {self.limit:<5g} {verdict}"
        ours, theirs = f"{self.ours * 1000:.3f} ms", f"{self.theirs * 1000:.3f} ms"
        return f"{self.name:<58} {ours:>11} {theirs:>11}  {self.value:6.3f}  <= {self.limit:<5g} {verdict}"


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds that the work takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def alternate(name: str, ours: Measurement, theirs: Measurement, limit: float, rounds: int) -> Row:
    """Measure both sides in turn, after one warm-up each, changing who goes first."""
    await theirs()
    await ours()
    mine: list[float] = []
    other: list[float] = []
    for number in range(rounds):
        sides = ((ours, mine), (theirs, other))
        for measure, seconds in sides if number % 2 else reversed(sides):
            seconds.append(await measure())
    return Row(name, statistics.median(mine), statistics.median(other), limit, rounds)
