"""`list` and `show`: the specs that are installed, and what is wrong with them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets import Bool

from remote_kernel_provider.errors import NoSuchKernelError, SpecError
from remote_kernel_provider.kernelspecs.config_keys import nearest
from remote_kernel_provider.kernelspecs.installer.command_line import SpecCommand
from remote_kernel_provider.kernelspecs.installer.documents import NewSpec, SpecKind, stock_document
from remote_kernel_provider.kernelspecs.installer.folders import foreign_because
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE, read_object


@dataclass(frozen=True)
class InstalledSpec:
    """A folder that holds a provider's spec file.

    Parameters
    ----------
    name, folder
        The kernel's name is the folder's.
    spec
        None when the file is malformed.
    faults
        What is wrong, in sentences.
    """

    name: str
    folder: Path
    spec: KernelSpec | None
    faults: tuple[str, ...]

    def to_json(self, kind: SpecKind) -> dict[str, Any]:
        """Return what `list --json` says of it."""
        return {
            "name": self.name,
            "kernel": kind.kernel(self.name),
            "display_name": self.spec.display_name if self.spec else None,
            "language": self.spec.language if self.spec else None,
            "folder": str(self.folder),
            "faults": list(self.faults),
        }


def installed_specs(kind: SpecKind, folders: Sequence[Path]) -> list[InstalledSpec]:
    """Return the specs in some `kernels` folders, those that Jupyter finds first at the front."""
    return [_inspect(kind, folder, hidden_by) for folder, hidden_by in _spec_folders(kind, folders)]


def find_installed(kind: SpecKind, folders: Sequence[Path], name: str) -> InstalledSpec:
    """Return the spec that Jupyter finds first under a name.

    Raises
    ------
    NoSuchKernelError
        Names those that there are.
    """
    known = []
    for folder, hidden_by in _spec_folders(kind, folders):
        if folder.name == name:
            return _inspect(kind, folder, hidden_by)
        known.append(folder.name)
    names = ", ".join(dict.fromkeys(known)) or "none"
    raise NoSuchKernelError(
        f"there is no spec '{name}' of {kind.command}{nearest(name, known)}; the specs are: {names}"
    )


def _spec_folders(kind: SpecKind, folders: Sequence[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Yield the folders of specs, each with the folder that hides it, if any."""
    seen: dict[str, Path] = {}
    for kernels in folders:
        for folder in sorted(kernels.iterdir()) if kernels.is_dir() else ():
            has_spec = (folder / kind.spec_file).is_file()
            if folder.name.startswith(".") or not (has_spec or (folder / STOCK_FILE).is_file()):
                continue
            hidden_by = seen.setdefault(folder.name.lower(), folder)
            if has_spec:
                yield folder, None if hidden_by == folder else hidden_by


def _inspect(kind: SpecKind, folder: Path, hidden_by: Path | None) -> InstalledSpec:
    faults = [] if hidden_by is None else [f"it is hidden by {hidden_by}, which Jupyter finds first"]
    try:
        spec = read_spec(folder / kind.spec_file, kind.lifecycle_manager, kind.config_keys)
    except SpecError as error:
        return InstalledSpec(folder.name, folder, None, (*faults, str(error)))
    found = (_stock_fault(kind, folder, spec), kind.find_fault(spec))
    return InstalledSpec(folder.name, folder, spec, (*faults, *filter(None, found)))


def _stock_fault(kind: SpecKind, folder: Path, spec: KernelSpec) -> str:
    """Say what is wrong with the file that stock Jupyter reads."""
    again = f"install it again: jupyter {kind.command} install --replace"
    if not (folder / STOCK_FILE).exists():
        return f"it has no {STOCK_FILE}, so stock Jupyter does not see it; {again}"
    if reason := foreign_because(folder, kind):
        return reason
    found: Mapping[str, Any] = read_object(folder / STOCK_FILE) or {}
    expected = stock_document(NewSpec.of(spec), kind)
    argv = found.get("argv")
    if isinstance(argv, list) and argv and not Path(str(argv[0])).exists():
        return f"the Python of its {STOCK_FILE}, {argv[0]}, is no longer there; {again}"
    if isinstance(argv, list):
        # Installed by another environment's command: as good as ours.
        argv = [*expected["argv"][:1], *argv[1:]]
    differing = [name for name in expected if expected[name] != {**found, "argv": argv}.get(name)]
    if differing:
        return f"its {STOCK_FILE} and {kind.spec_file} do not say the same of {', '.join(differing)}; {again}"
    return ""


class _Listing(SpecCommand):
    json = Bool(False, help="Print JSON.").tag(config=True, option=True)


class SpecList(_Listing):
    """Lists the installed specs, and says what is wrong with them."""

    subcommand_name = "list"

    def run(self) -> None:
        """List."""
        self.refuse_arguments()
        specs = installed_specs(self.kind, self.search_locations())
        if self.json:
            print(json.dumps([spec.to_json(self.kind) for spec in specs], indent=2))
            return
        if not specs:
            print(f"No spec is installed; 'jupyter {self.kind.command} install' installs one", file=sys.stderr)
        rows = [(spec.name, spec.spec.display_name if spec.spec else "-", str(spec.folder)) for spec in specs]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for spec, row in zip(specs, rows, strict=True):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            for fault in spec.faults:
                print(f"  ! {fault}")


class SpecShow(_Listing):
    """Shows what an installed spec says."""

    subcommand_name = "show"

    def run(self) -> None:
        """Show."""
        locations = self.search_locations()
        specs = [find_installed(self.kind, locations, name) for name in self.kernel_names()]
        if self.json:
            shown = [self._documents(spec) for spec in specs]
            print(json.dumps(shown if len(shown) > 1 else shown[0], indent=2))
            return
        print("\n\n".join(self._text(spec) for spec in specs))

    def _documents(self, spec: InstalledSpec) -> dict[str, Any]:
        files = (self.kind.spec_file, STOCK_FILE)
        return {**spec.to_json(self.kind), "files": {name: read_object(spec.folder / name) for name in files}}

    def _text(self, installed: InstalledSpec) -> str:
        rows = {"kernel": self.kind.kernel(installed.name), "folder": str(installed.folder)}
        spec = installed.spec
        if spec is not None:
            rows |= {
                "display name": spec.display_name,
                "language": spec.language,
                "command": shlex.join(spec.argv),
                **{f"env {name}": value for name, value in spec.env.items()},
                "handshake": spec.handshake,
                "encryption": _encryption(spec),
                "interrupt mode": spec.interrupt_mode,
                "parameters": ", ".join((spec.parameter_schema or {}).get("properties", {})),
                **{name: _in_words(value) for name, value in spec.config.items() if name != "handshake"},
            }
        rows |= {"fault" if index == 1 else f"fault {index}": fault for index, fault in enumerate(installed.faults, 1)}
        width = max(map(len, rows)) + 2
        return "\n".join(f"{name + ':':<{width}}{value}" for name, value in rows.items() if value)


def _encryption(spec: KernelSpec) -> str:
    if spec.handshake == "reported":
        return "as its launcher reports"
    return "CurveZMQ" if spec.supports_curve else 'none: metadata.supported_encryption does not say "curve"'


def _in_words(value: Any) -> str:
    if isinstance(value, tuple):
        between = ".." if all(isinstance(item, int) for item in value) and len(value) == 2 else ", "
        return between.join(map(str, value))
    return str(value)
