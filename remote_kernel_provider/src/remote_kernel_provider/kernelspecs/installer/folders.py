"""Spec folders on the disk: whose they are, and writing and removing them whole or not at all."""

from __future__ import annotations

import fnmatch
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.kernelspecs.installer.documents import (
    NewSpec,
    SpecKind,
    provider_document,
    stock_document,
    to_text,
)
from remote_kernel_provider.kernelspecs.reader import NAME_PATTERN
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE, kernel_of_file

LOGO_PATTERNS = ("logo-*.png", "logo-*.svg")


def check_kernel_name(name: str) -> None:
    """Check that a folder of this name is found by every client.

    Raises
    ------
    ConfigurationError
        When it is not.
    """
    # Our catalogue skips hidden folders; '.' and '..' are no names at all.
    if not NAME_PATTERN.fullmatch(name) or name.startswith("."):
        raise ConfigurationError(
            f"the kernel name '{name}' may hold only letters, digits, '.', '_' and '-', and not begin with '.'; "
            "choose another with --kernel-name"
        )
    if name.lower() == "python":
        raise ConfigurationError(
            "the kernel name 'python' means the ordinary kernel of this machine to Jupyter's programs; choose another "
            "with --kernel-name"
        )


def is_logo(name: str) -> bool:
    """Tell whether clients take a file of this name for a kernel's logo."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in LOGO_PATTERNS)


def foreign_because(folder: Path, kind: SpecKind) -> str:
    """Return why a folder is not one that this kind's installer may touch; empty = it is one."""
    if not (folder / kind.spec_file).is_file():
        return f"it has no {kind.spec_file}"
    stock = folder / STOCK_FILE
    if stock.exists() and not kernel_of_file(stock).startswith(kind.kernel("")):
        return f"its {STOCK_FILE} was not written for the provider '{kind.provider_id}'"
    return ""


def check_destination(folder: Path, kind: SpecKind, replace: bool) -> None:
    """Check that a spec may be installed as a folder.

    Raises
    ------
    ConfigurationError
        When something is in the way that must not be lost.
    """
    if folder.exists() or folder.is_symlink():
        reason = foreign_because(folder, kind)
        if reason:
            raise ConfigurationError(
                f"{folder} is not a spec of {kind.command} and is left alone: {reason}; choose another --kernel-name"
            )
        if not replace:
            raise ConfigurationError(f"{folder} exists; replace it with --replace, or choose another --kernel-name")
        return
    with suppress(OSError):
        for other in folder.parent.iterdir():
            if other.name.lower() == folder.name.lower():
                raise ConfigurationError(
                    f"{other} exists, and Jupyter does not tell capital letters from small ones; choose another "
                    "--kernel-name"
                )


def write_folder(spec: NewSpec, kind: SpecKind, folder: Path) -> None:
    """Write a spec's folder; it appears complete or not at all.

    Of a folder that it replaces, what no installer wrote is kept.

    Raises
    ------
    ConfigurationError
        When it cannot be written; then everything is as it was.
    """
    remedy = "choose another place with --user, --sys-prefix or --prefix"
    with _as_sentence(f"{folder} cannot be written", remedy), _staging(folder.parent) as stage:
        fresh = stage / folder.name
        fresh.mkdir()
        _keep(folder, fresh, {STOCK_FILE, kind.spec_file, *spec.files})
        for path, content in _files(spec, kind).items():
            file = fresh / path
            if path in spec.editable_files and file.exists():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # else what a kept link leads to would be overwritten
            file.write_bytes(content)
        _exchange(folder, fresh, stage / f".{folder.name}")


def remove_folder(folder: Path) -> None:
    """Remove a spec's folder; it disappears at once and whole.

    Raises
    ------
    ConfigurationError
        When it cannot be removed; then it is as it was.
    """
    with _as_sentence(f"{folder} cannot be removed", "ask whoever owns it"), _staging(folder.parent) as stage:
        folder.rename(stage / folder.name)


@contextmanager
def _as_sentence(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except shutil.Error as error:  # copying a tree collects what went wrong
        raise ConfigurationError(f"{what}: {error.args[0][0][2]}; {remedy}") from None
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror or error}; {remedy}") from None


@contextmanager
def _staging(kernels: Path) -> Iterator[Path]:
    """Make a folder on the same file system that no client takes for a kernel: hidden, and without a `kernel.json`."""
    made = [folder for folder in (kernels, *kernels.parents) if not folder.exists()]
    try:
        kernels.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".installing-", dir=kernels))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        for folder in made:
            with suppress(OSError):  # refused for a folder that holds something, as it does after a success
                folder.rmdir()


def _files(spec: NewSpec, kind: SpecKind) -> dict[str, bytes]:
    return {
        **spec.editable_files,
        **spec.files,
        kind.spec_file: to_text(provider_document(spec, kind)).encode(),
        STOCK_FILE: to_text(stock_document(spec, kind)).encode(),
    }


def _keep(old: Path, fresh: Path, written: set[str]) -> None:
    """Copy what no installer wrote; an earlier kernel's logos would be wrong ones."""
    if old.is_dir():
        shutil.copytree(
            old,
            fresh,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=lambda folder, names: [
                name for name in names if Path(folder) == old and (name in written or is_logo(name))
            ],
        )


def _exchange(folder: Path, fresh: Path, aside: Path) -> None:
    replaces = folder.exists() or folder.is_symlink()
    if replaces:
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except BaseException:  # an interruption included: what was there comes back
        if replaces:
            aside.rename(folder)
        raise
