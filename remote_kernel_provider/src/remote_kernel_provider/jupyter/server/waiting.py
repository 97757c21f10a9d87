"""The values that a client has posted for a launch of its own that comes next.

Stock Jupyter Server has no room for them in the requests that start a kernel: they wait here, under the id that the
client is going to give to the kernel.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remote_kernel_provider.errors import ParameterError
from remote_kernel_provider.files import parse_json
from remote_kernel_provider.jupyter.users import request_body

EXPIRY = 600.0
"""Seconds that values wait for their launch."""

MOST = 20
"""Launches of one user that values wait for; the oldest go first."""


class LaunchValues(dict[str, Any]):
    """Parameters by name; their values stay out of logs."""

    def __repr__(self) -> str:
        return f"<values of {', '.join(self)}>"


@dataclass(frozen=True)
class Waiting:
    """The values of one launch to come.

    Parameters
    ----------
    user
        Who alone can use them.
    name
        The kernel, as it is listed.
    values
        Parameters by name, validated.
    until
        When they expire, by the monotonic clock.
    """

    user: str
    name: str
    values: LaunchValues
    until: float


class WaitingValues:
    """All values that wait, of all users; each is used once, or expires."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()

    def put(self, kernel_id: str, user: str, name: str, values: Mapping[str, Any]) -> bool:
        """Let values wait for a launch; whether they do: not where another user's wait under that id."""
        self._drop_expired()
        known = self._waiting.get(kernel_id)
        if known is not None and known.user != user:
            return False
        self._waiting.pop(kernel_id, None)
        own = [each for each, waiting in self._waiting.items() if waiting.user == user]
        for oldest in own[: max(0, len(own) - MOST + 1)]:
            del self._waiting[oldest]
        self._waiting[kernel_id] = Waiting(user, name, LaunchValues(values), time.monotonic() + EXPIRY)
        return True

    def take(self, kernel_id: str, user: str, name: str) -> LaunchValues | None:
        """Return the values of a launch that begins, and forget them; None when there are none for this user.

        Raises
        ------
        ParameterError
            When they were posted, and validated, for another kernel.
        """
        self._drop_expired()
        waiting = self._waiting.get(kernel_id)
        if waiting is None or waiting.user != user:
            return None
        if waiting.name != name:
            raise ParameterError(f"the values of this launch are for kernel '{waiting.name}', not for '{name}'")
        return self._waiting.pop(kernel_id).values

    def forget(self, kernel_id: str, user: str) -> bool:
        """Forget the values of a launch; whether there were any of this user."""
        waiting = self._waiting.get(kernel_id)
        if waiting is None or waiting.user != user:
            return False
        del self._waiting[kernel_id]
        return True

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for kernel_id in [each for each, waiting in self._waiting.items() if waiting.until <= now]:
            del self._waiting[kernel_id]


def id_in_request() -> str:
    """Return the id that the client of the request at hand gives to its kernel; empty = none.

    Older versions of Jupyter Server do not pass it on, and the stock end points call it differently.
    """
    try:
        body = parse_json(request_body() or b"null")
    except ValueError:
        return ""
    kernel = body.get("kernel") if isinstance(body, dict) else None
    for document, key in ((kernel, "id"), (body, "kernel_id"), (body, "id")):
        if isinstance(document, dict) and isinstance(document.get(key), str):
            return str(document[key])
    return ""
