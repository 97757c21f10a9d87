"""The errors of the project.

::

    RemoteKernelError
    ├── SpecError               a kernel spec is missing, malformed or unknown
    │   └── NoSuchKernelError   no provider knows the kernel
    ├── ParameterError          a launch parameter is unknown, ill-typed or breaks the spec's schema
    │   └── RefusedError        the operator's policy does not allow it (HTTP 403)
    │       └── UnauthorizedError   this user may not launch this kernel
    ├── ConfigurationError      a setting or an installation is wrong
    ├── LaunchError             the kernel was not started
    │   ├── LaunchTimeoutError  it did not answer in time
    │   └── KernelDiedError     it ended before it answered
    └── KernelGoneError         the kernel of this handle is no longer there

Every message is safe to show to a user: it names the thing, what was expected, what was seen and what to do, and holds
no secret. Detail for the log stands in attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remote_kernel_provider.status import KernelStatus


class RemoteKernelError(Exception):
    """Root of all errors that the project raises on purpose."""


class SpecError(RemoteKernelError):
    """A kernel spec is missing, malformed or names something unknown."""


class NoSuchKernelError(SpecError, KeyError):
    """No provider knows a kernel of this name."""

    def __str__(self) -> str:
        # KeyError would print the repr of the sentence.
        return str(self.args[0])


class ParameterError(RemoteKernelError):
    """A launch parameter is unknown, has the wrong type or breaks the spec's schema.

    Parameters
    ----------
    message
        One sentence.
    parameter
        Which one, for a form to say it there; empty where it is no single one's fault.
    """

    def __init__(self, message: str, *, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class RefusedError(ParameterError):
    """The operator's policy does not allow what was asked."""


class UnauthorizedError(RefusedError):
    """This user may not launch this kernel."""


class ConfigurationError(RemoteKernelError):
    """A setting or the installation is wrong."""


class LaunchError(RemoteKernelError):
    """The kernel was not started.

    Parameters
    ----------
    message
        One sentence that says what happened and what to do.
    status
        The last status that the backend gave, if any.
    log_tail
        The kernel's last lines of output; may hold secrets of the user, so it is shown to its owner only and never
        part of the message.
    """

    def __init__(self, message: str, *, status: KernelStatus | None = None, log_tail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.log_tail = log_tail


class LaunchTimeoutError(LaunchError):
    """The kernel did not answer before the deadline."""


class KernelDiedError(LaunchError):
    """The kernel ended before it answered."""


class KernelGoneError(RemoteKernelError):
    """The kernel of this handle is no longer there."""
