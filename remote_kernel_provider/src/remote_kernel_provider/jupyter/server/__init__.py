"""The server extension: what Jupyter Server itself has to do for kernels of ours, and for no others.

Small classes, each in a module of its own, subclass whatever the server is configured with; `extension.TABLE` says
which takes which place, and `extension.ON_LOAD` what is done before the server listens.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell the server what to load."""
    return [{"module": "remote_kernel_provider.jupyter.server.extension"}]
