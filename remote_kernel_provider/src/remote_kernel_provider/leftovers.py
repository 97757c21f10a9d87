"""`Leftover`: something that a program left in a backend and that a sweep removes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Leftover:
    """One object of a backend, or one file.

    Parameters
    ----------
    kind
        The backend's word for what it is: `pod`, `secret`, `container`, `service`, `volume`, `folder` …
    name
        Of the object.
    reason
        Why it is removed, where that is not said of the kernel that it belongs to.
    """

    kind: str
    name: str
    reason: str = ""
