"""`kernel.json`: the file by which stock Jupyter knows a kernel, and by which it finds its way to one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote_kernel_provider.files import parse_json

STOCK_FILE = "kernel.json"
"""Name of the file in a spec's folder."""

OUR_PROVISIONER = "remote-kernel-provisioner"
"""Entry point of the face for stock Jupyter; a `kernel.json` that names it stands beside a provider's spec."""


def stanza_for(kernel: str) -> dict[str, Any]:
    """Return what stands at `metadata.kernel_provisioner` of a spec that leads to a kernel, `provider/name`."""
    return {"provisioner_name": OUR_PROVISIONER, "config": {"kernel": kernel}}


def leads_to_us(metadata: Mapping[str, Any]) -> bool:
    """Whether a kernel spec is only the way of stock Jupyter to one of ours."""
    stanza = metadata.get("kernel_provisioner")
    return isinstance(stanza, Mapping) and stanza.get("provisioner_name") == OUR_PROVISIONER


def kernel_behind(metadata: Mapping[str, Any]) -> str:
    """Return the kernel of ours that a `kernel.json` leads to, `provider/name`; empty for any other's."""
    config = metadata["kernel_provisioner"].get("config") if leads_to_us(metadata) else None
    return str(config.get("kernel", "")) if isinstance(config, Mapping) else ""


def kernel_of_file(file: Path) -> str:
    """Return the same of a file; empty also where it cannot be read."""
    metadata = (read_object(file) or {}).get("metadata")
    return kernel_behind(metadata) if isinstance(metadata, Mapping) else ""


def read_object(file: Path) -> Mapping[str, Any] | None:
    """Return the JSON object in a file, or None when there is no such thing."""
    try:
        document = parse_json(file.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def schema_of(metadata: Mapping[str, Any]) -> Any:
    """Return what metadata says is the JSON Schema of the kernel's parameters; None where it says nothing."""
    return metadata.get("launch_parameter_schema", metadata.get("parameters"))


def with_schema(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with the parameters' schema in both its homes, if it has one.

    Kernel-mgmt clients read the first, JEP 87 names the second.
    """
    schema = schema_of(metadata)
    return dict(metadata) if schema is None else {**metadata, "launch_parameter_schema": schema, "parameters": schema}
