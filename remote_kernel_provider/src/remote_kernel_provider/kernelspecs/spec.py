"""A kernel spec as the providers see it: validated and frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from remote_kernel_provider.kernelspecs.stock import schema_of, with_schema

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")


@dataclass(frozen=True)
class KernelSpec:
    """One kernel spec of one provider.

    Parameters
    ----------
    name
        Name of its folder.
    file
        The file that it was read from.
    display_name, language, env, interrupt_mode, metadata
        As in a stock `kernel.json`.
    argv
        The kernel's command inside (with `{connection_file}`), a script on the host (with `{response_address}`), or
        empty for the image's own command.
    lifecycle_manager
        Name of the entry point of its lifecycle manager.
    config
        The validated keys of `metadata.lifecycle_manager.config`.
    """

    name: str
    file: Path
    display_name: str
    language: str
    argv: tuple[str, ...]
    lifecycle_manager: str
    env: Mapping[str, str] = field(default_factory=dict)
    interrupt_mode: str = "signal"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resource_dir(self) -> Path:
        """The folder of the spec, with its logos."""
        return self.file.parent

    @property
    def handshake(self) -> str:
        """`assigned` or `reported`; the spec's word, else derived from `argv`."""
        chosen = self.config.get("handshake")
        if chosen:
            return str(chosen)
        return "assigned" if any("{connection_file}" in word for word in self.argv) else "reported"

    @property
    def parameter_schema(self) -> Mapping[str, Any] | None:
        """JSON Schema of what a client may set, or None."""
        schema = schema_of(self.metadata)
        return schema if isinstance(schema, Mapping) else None

    @property
    def supports_curve(self) -> bool:
        """Whether the kernel says that it takes CurveZMQ keys from its connection file."""
        supported = self.metadata.get("supported_encryption", ())
        words = [supported] if isinstance(supported, str) else supported
        return isinstance(words, list) and "curve" in [str(word).strip().lower() for word in words]

    def command(self, substitutions: Mapping[str, str]) -> list[str]:
        """Return `argv` with the placeholders filled in; one that is not known stays as it is."""
        # The folder's name cannot be taken by a parameter of a client's.
        known = {**substitutions, "resource_dir": str(self.resource_dir)}

        def value(match: re.Match[str]) -> str:
            return known.get(match[1], match[0])

        return [_PLACEHOLDER.sub(value, word) for word in self.argv]

    def attributes(self) -> dict[str, Any]:
        """Return what `find_kernels` yields for it: the fields that servers need."""
        return dict(self._attributes)

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        return {
            "display_name": self.display_name,
            "language_info": {"name": self.language},
            "argv": list(self.argv),
            "resource_dir": str(self.resource_dir),
            "interrupt_mode": self.interrupt_mode,
            "metadata": with_schema(self.metadata),
        }
