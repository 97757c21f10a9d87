"""What a stock face raises when a launch fails: one sentence, with the status that HTTP has for it."""

from __future__ import annotations

import textwrap

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

DIALOG_WIDTH = 100
"""Characters in a line: JupyterLab's dialog shows about 115, and cuts off the rest."""


class LaunchHTTPError(HTTPError):
    """A launch that failed, for clients of stock Jupyter.

    Jupyter Server words other exceptions differently at each of its end points, or loses their text.

    Parameters
    ----------
    error
        Why.
    in_dialog
        Whether a dialog may show it: then its lines are short.

    Attributes
    ----------
    log_tail
        The kernel's last lines of output; for its owner's eyes.
    """

    def __init__(self, error: RemoteKernelError, *, in_dialog: bool = False) -> None:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
        self.sentence = str(error)
        if in_dialog:
            self.sentence = textwrap.fill(self.sentence, DIALOG_WIDTH, break_long_words=False, break_on_hyphens=False)
        super().__init__(status, self.sentence)
        self.log_tail = error.log_tail if isinstance(error, LaunchError) else ""
        self.__cause__ = error

    def __str__(self) -> str:
        return self.sentence
