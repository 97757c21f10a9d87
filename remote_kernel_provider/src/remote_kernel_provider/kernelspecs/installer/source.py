"""The ordinary kernels of this machine, as what a new spec can be made from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_path

from remote_kernel_provider.errors import ConfigurationError, NoSuchKernelError, SpecError
from remote_kernel_provider.kernelspecs.config_keys import LOCAL, nearest
from remote_kernel_provider.kernelspecs.installer.documents import without_stanzas
from remote_kernel_provider.kernelspecs.installer.folders import is_logo
from remote_kernel_provider.kernelspecs.peers import find_stanza
from remote_kernel_provider.kernelspecs.reader import read_document, spec_from_document
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE

PREFERRED = "python3"
"""The ordinary kernel that is taken when none is named."""

_STOCK_PROVISIONER = "local-provisioner"


@dataclass(frozen=True)
class SourceKernel:
    """An ordinary kernel.

    Parameters
    ----------
    name
        As stock Jupyter lists it.
    spec
        Read by our rules, with the files beside it named absolutely and nothing said of who runs it.
    """

    name: str
    spec: KernelSpec

    @property
    def argv(self) -> tuple[str, ...]:
        """Its command, with those placeholders filled in that would mean something else in a new spec."""
        return tuple(self.spec.command({"prefix": sys.prefix}))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its own metadata."""
        return without_stanzas(self.spec.metadata)

    def logos(self) -> dict[str, bytes]:
        """Read its logos, by file name.

        Raises
        ------
        ConfigurationError
            When one cannot be read.
        """
        logos = {}
        for file in sorted(self.spec.resource_dir.iterdir()):
            if is_logo(file.name):
                try:
                    logos[file.name] = file.read_bytes()
                except OSError as error:
                    raise ConfigurationError(
                        f"the logo {file} cannot be read: {error.strerror}; make it readable or remove it"
                    ) from None
        return logos


def find_source(name: str = "") -> SourceKernel:
    """Return an ordinary kernel: the one that is named, else `python3`, else the only one there is.

    Raises
    ------
    NoSuchKernelError
        When there is none, or several to choose from.
    SpecError
        When it is malformed, or no ordinary kernel: another provisioner runs it.
    """
    manager = KernelSpecManager(
        # Without IPython's old folder, which the manager would create, and in which our providers do not look.
        kernel_dirs=jupyter_path("kernels"),
        # ipykernel is a kernel even without a kernel.json; asked for it in vain, the manager would warn.
        ensure_native_kernel=find_spec("ipykernel") is not None,
    )
    folders = manager.find_kernel_specs()
    if name:
        if name.lower() not in folders:
            known = ", ".join(sorted(folders)) or "none"
            raise NoSuchKernelError(f"there is no kernel '{name}'{nearest(name, folders)}; the kernels are: {known}")
        return _read(manager, name.lower(), folders)
    candidates = sorted(name for name in folders if _is_ordinary(manager, name, folders))
    if PREFERRED in candidates:
        return _read(manager, PREFERRED, folders)
    if len(candidates) != 1:
        known = ", ".join(candidates) or "none; install one, such as ipykernel"
        raise NoSuchKernelError(f"name the kernel to install with --kernel; the kernels are: {known}")
    return _read(manager, candidates[0], folders)


def _is_ordinary(manager: KernelSpecManager, name: str, folders: Mapping[str, str]) -> bool:
    try:
        _read(manager, name, folders)
    except SpecError:
        return False
    return True


def _read(manager: KernelSpecManager, name: str, folders: Mapping[str, str]) -> SourceKernel:
    file = Path(folders[name]).absolute() / STOCK_FILE
    document = read_document(file) if file.exists() else manager.get_kernel_spec(name).to_dict()
    if isinstance(document, dict) and isinstance(metadata := document.get("metadata", {}), dict):
        _refuse_others(name, metadata)
        document = {**document, "metadata": without_stanzas(metadata)}
    spec = spec_from_document(document, file, LOCAL)
    if not spec.argv:
        raise SpecError(f"{file}: 'argv' is empty; an ordinary kernel needs a command")
    return SourceKernel(name, spec)


def _refuse_others(name: str, metadata: Mapping[str, Any]) -> None:
    provisioner = metadata.get("kernel_provisioner")
    if isinstance(provisioner, Mapping) and provisioner.get("provisioner_name") == _STOCK_PROVISIONER:
        return
    stanza = find_stanza(metadata)
    if stanza is not None:
        raise SpecError(
            f"the kernel '{name}' is no ordinary kernel: its {stanza.where} names '{stanza.lifecycle_manager}', so its "
            "command is not a kernel's own; choose another with --kernel"
        )
