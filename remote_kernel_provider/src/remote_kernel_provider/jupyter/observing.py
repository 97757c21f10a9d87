"""How a launch under a stock face reports its progress to whoever started it."""

from __future__ import annotations

from contextvars import ContextVar

from remote_kernel_provider.launch import ProgressCallback

LAUNCH_OBSERVER: ContextVar[ProgressCallback | None] = ContextVar("LAUNCH_OBSERVER", default=None)
"""Called on the private loop at each step of the launches that are started in this context."""
