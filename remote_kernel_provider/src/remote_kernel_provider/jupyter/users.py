"""Whose request a Jupyter Server is serving."""

from __future__ import annotations

import re
import sys

_GENERATED = re.compile(r"[0-9a-f]{32}|anonymous")
"""Names that Jupyter Server gives to whoever has the token or the password: they say nothing about who that is."""


def authenticated_user() -> str:
    """Return the name of the user whose request this is; empty outside of requests, and of users without a name."""
    # Outside of Jupyter Server its module is not loaded, and need not be installed.
    contexts = sys.modules.get("jupyter_server.base.call_context")
    if contexts is None:
        return ""
    handler = contexts.CallContext.get(contexts.CallContext.JUPYTER_HANDLER)
    # The attribute behind `current_user`, which raises before there is a user.
    name = getattr(getattr(handler, "_jupyter_current_user", None), "username", "")
    return "" if _GENERATED.fullmatch(name) else str(name)
