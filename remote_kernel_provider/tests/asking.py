"""Who asks for a kernel in tests of parameters, and by which schema."""

from __future__ import annotations

from typing import Any

from remote_kernel_provider.parameters.launch_parameters import Identity

ANN = Identity("ann", "authenticated")


def schema(**properties: Any) -> dict[str, Any]:
    """Return the field of a spec that holds a schema of these parameters."""
    return {"metadata": {"launch_parameter_schema": {"type": "object", "properties": properties}}}
