"""What the doctor finds: one line for each thing that was looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    subject
        What was looked at.
    state
        `ok`, `note` (nothing has to be done) or `problem` (something must be fixed).
    seen
        What was seen.
    remedy
        What to do; never empty for a problem.
    """

    subject: str
    state: str
    seen: str
    remedy: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Return a finding of something that is as it should be."""
    return Finding(subject, OK, seen)


def note(subject: str, seen: str, remedy: str = "") -> Finding:
    """Return a finding that is good to know."""
    return Finding(subject, NOTE, seen, remedy)


def problem(subject: str, seen: str, remedy: str) -> Finding:
    """Return a finding of something that must be fixed."""
    return Finding(subject, PROBLEM, seen, remedy)
