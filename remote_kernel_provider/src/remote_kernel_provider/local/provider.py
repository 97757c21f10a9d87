"""`LocalKernelProvider`: kernels on this machine, from local specs and from every ordinary kernel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from remote_kernel_provider.files import parse_json
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, LOCAL, ConfigKey
from remote_kernel_provider.kernelspecs.peers import find_stanza
from remote_kernel_provider.kernelspecs.reader import spec_from_document
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.provider import RemoteKernelProvider


class LocalKernelProvider(RemoteKernelProvider):
    """Offers the specs in `local_kernel.json` files, and each ordinary kernel X as `local/X` where none is called X."""

    id: ClassVar[str] = "local"  # type: ignore[misc]
    kernel_file: ClassVar[str] = "local_kernel.json"
    default_lifecycle: ClassVar[str] = LOCAL
    lifecycle_managers: ClassVar[frozenset[str]] = frozenset({LOCAL})
    config_keys: ClassVar[Sequence[ConfigKey]] = tuple(key for key in CONFIG_KEYS if LOCAL in key.backends)

    def read_ordinary(self, file: Path) -> KernelSpec | None:
        """Read a stock `kernel.json` that runs on this machine anyhow."""
        try:
            document = parse_json(file.read_bytes())
            if find_stanza(document.get("metadata", {})) is None:
                return spec_from_document(document, file, LOCAL, self.config_keys)
        except (OSError, ValueError, AttributeError):
            return None  # stock Jupyter says what is wrong with a stock file
        return super().read_ordinary(file)
