"""Whose request a Jupyter Server is serving."""

from __future__ import annotations

import re
import sys
from typing import Any

from remote_kernel_provider.host import system_identity

_GENERATED = re.compile(r"[0-9a-f]{32}|anonymous")
"""Names that Jupyter Server gives to whoever has the token or the password: they say nothing about who that is."""


def current_user() -> str:
    """Return whom a request is served for: the authenticated user, else the operating system's who runs the server."""
    return authenticated_user() or system_identity().user


def request_body() -> bytes:
    """Return the body of the request that the server is serving; empty outside of requests."""
    return bytes(getattr(getattr(_handler(), "request", None), "body", b""))


def authenticated_user() -> str:
    """Return the name of the user whose request this is; empty outside of requests, and of users without a name."""
    # The attribute behind `current_user`, which raises before there is a user.
    name = getattr(getattr(_handler(), "_jupyter_current_user", None), "username", "")
    return "" if _GENERATED.fullmatch(name) else str(name)


def _handler() -> Any:
    # Outside of Jupyter Server its module is not loaded, and need not be installed.
    contexts = sys.modules.get("jupyter_server.base.call_context")
    return contexts and contexts.CallContext.get(contexts.CallContext.JUPYTER_HANDLER)
