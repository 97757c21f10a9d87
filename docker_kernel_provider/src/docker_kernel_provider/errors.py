"""What a Docker engine answers when it does not do what it was asked."""

from __future__ import annotations

from remote_kernel_provider.errors import RemoteKernelError


class EngineUnreachableError(RemoteKernelError):
    """The engine does not answer."""


class EngineRefusalError(RemoteKernelError):
    """The engine answered with an error.

    Parameters
    ----------
    status
        HTTP status.
    explanation
        The engine's words.
    """

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(f"the Docker engine refused it: {explanation}")
        self.status = status
        self.explanation = explanation

    @property
    def not_found(self) -> bool:
        """Whether what was named is not there."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Whether the container is not in a state for it."""
        return self.status == 409
