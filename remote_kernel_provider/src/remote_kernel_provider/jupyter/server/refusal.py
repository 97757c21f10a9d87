"""Why an end point of ours refuses a request: a status, a sentence, and sentences for the fields of a form."""

from __future__ import annotations

from collections.abc import Mapping

from tornado.web import HTTPError

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.jupyter.failures import LaunchHTTPError


class RefusalError(HTTPError):
    """A request that is refused.

    Parameters
    ----------
    status
        Of HTTP.
    sentence
        For the user.
    errors
        Sentences by parameter; None where no form is meant.
    """

    def __init__(self, status: int, sentence: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.sentence = sentence
        self.errors = errors

    @classmethod
    def of(cls, error: RemoteKernelError) -> RefusalError:
        """Return the refusal that an error of ours means."""
        return cls(LaunchHTTPError(error).status_code, str(error))

    def __str__(self) -> str:
        return self.sentence
