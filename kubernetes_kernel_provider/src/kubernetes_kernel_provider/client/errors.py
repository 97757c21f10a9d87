"""What an API server says when it refuses, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_kernel_provider.client.rules import remedy_of
from remote_kernel_provider.errors import RemoteKernelError


class ClusterError(RemoteKernelError):
    """The cluster refused a request.

    Parameters
    ----------
    message
        One sentence.
    code
        HTTP status; 0 where there was no answer.
    reason
        The API's word, `Forbidden` for example.
    causes
        The words of the single causes, `NamespaceTerminating` for example.
    """

    def __init__(self, message: str, code: int = 0, reason: str = "", causes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.causes = tuple(causes)

    @classmethod
    def from_status(cls, status: Mapping[str, Any], code: int) -> ClusterError:
        """Read the document of kind `Status` that comes with every refusal; say which rule would have allowed it."""
        causes = (status.get("details") or {}).get("causes") or ()
        words = str(status.get("message") or f"the cluster answered {code}")
        remedy = remedy_of(words)
        return cls(
            f"{words}; {remedy}" if remedy else words,
            int(status.get("code") or code),
            str(status.get("reason") or ""),
            [str(cause.get("reason", "")) for cause in causes],
        )

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.code == 404

    @property
    def is_refusal(self) -> bool:
        """Whether asking again gives the same answer until somebody grants a permission."""
        return self.code in (401, 403)

    @property
    def is_passing(self) -> bool:
        """Whether it says nothing of what was asked: the cluster is away, starts or has too much to do."""
        return self.code == 0 or self.code == 429 or self.code >= 500

    @property
    def is_outdated(self) -> bool:
        """Whether a watch asked for changes that the cluster has forgotten."""
        return self.code == 410


class ClusterUnreachableError(ClusterError):
    """The cluster did not answer, or something else answered in its place.

    Parameters
    ----------
    message
        One sentence.
    status
        HTTP status of what answered in its place. It says nothing of what was asked for: `code` is 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ClientClosedError(ClusterError):
    """This host has closed its connections to the cluster: there is nobody left to ask."""

    def __init__(self) -> None:
        super().__init__("this host has closed its connections to the cluster; make a new one")

    @property
    def is_passing(self) -> bool:
        """Never."""
        return False
