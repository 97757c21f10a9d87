"""What a stock face raises when a launch fails: one sentence, with the status that HTTP has for it."""

from __future__ import annotations

from tornado.web import HTTPError

from remote_kernel_provider.errors import (
    LaunchError,
    NoSuchKernelError,
    ParameterError,
    RefusedError,
    RemoteKernelError,
)

_STATUSES: tuple[tuple[type[RemoteKernelError], int], ...] = (
    (RefusedError, 403),
    (ParameterError, 400),
    (NoSuchKernelError, 404),
)


class LaunchHTTPError(HTTPError):
    """A launch that failed, for clients of stock Jupyter.

    Jupyter Server words other exceptions differently at each of its end points, or loses their text.

    Attributes
    ----------
    log_tail
        The kernel's last lines of output; for its owner's eyes.
    """

    def __init__(self, error: RemoteKernelError) -> None:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
        super().__init__(status, str(error))
        self.sentence = str(error)
        self.log_tail = error.log_tail if isinstance(error, LaunchError) else ""
        self.__cause__ = error

    def __str__(self) -> str:
        return self.sentence
