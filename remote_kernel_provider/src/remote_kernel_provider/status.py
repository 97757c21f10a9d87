"""What a backend says of a kernel at one moment."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phase(str, enum.Enum):
    """Where a kernel is between its creation and its end."""

    PENDING = "pending"
    """Accepted, waiting for room."""
    PULLING = "pulling"
    """Its image is on the way."""
    STARTING = "starting"
    """Its process is being started."""
    RUNNING = "running"
    """Its process runs; whether it answers is another question."""
    SUCCEEDED = "succeeded"
    """Its process ended by itself with exit code 0."""
    FAILED = "failed"
    """Its process ended otherwise, or cannot be started."""
    GONE = "gone"
    """The backend knows nothing of it any more."""

    @property
    def ended(self) -> bool:
        """Whether no further phase but `GONE` can follow."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.GONE)

    @property
    def waiting(self) -> bool:
        """Whether the kernel waits for an image or for room, so that the launch time-out does not run yet."""
        return self in (Phase.PENDING, Phase.PULLING)


@dataclass(frozen=True)
class KernelStatus:
    """What a backend says of a kernel at one moment.

    Parameters
    ----------
    phase
        Where it is.
    address
        IP address or host name at which the backend sees the kernel; empty while unknown.
    reason
        A word: `OOMKilled`, `CommandNotFound`, `Unschedulable` …; empty when there is nothing to explain.
    message
        A sentence that a person can act on.
    exit_code
        Of the process that ended; negative: minus the signal that ended it. None while it runs or where unknown.
    """

    phase: Phase
    address: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None

    def sentence(self) -> str:
        """Describe the status in words, with or without a message from the backend."""
        if self.message:
            return self.message
        if self.reason:
            return self.reason
        return f"it is {self.phase.value}"
