"""Builds JupyterLab's half of the server extension into the wheel, where npm is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("package.json", "webpack.config.js", "schema", "src", "style")
INSTALLED = "share/jupyter/labextensions/remote-kernel-provider-labextension"


class LabExtension(BuildHookInterface[Any]):
    """Builds what has changed, and puts it where JupyterLab looks, for wheels and editable installs alike.

    Without npm, or when it fails, the distribution goes without; with `REQUIRE_LAB=1` that is an error.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the extension to what is built."""
        lab = Path(self.root, "labextension")
        built = lab / "build"
        if not is_current(lab):
            try:
                build(lab)
            except (OSError, subprocess.CalledProcessError) as error:
                if os.environ.get("REQUIRE_LAB") == "1":
                    raise RuntimeError(
                        f"REQUIRE_LAB=1, and the JupyterLab extension cannot be built: {error}"
                    ) from error
                self.app.display_warning(f"The JupyterLab extension is left out: {error}")
                return
        if self.target_name == "wheel":
            build_data["shared_data"] |= {
                str(lab / "install.json"): f"{INSTALLED}/install.json",
                **{str(built / name): f"{INSTALLED}/{name}" for name in ("package.json", "schemas", "static")},
            }
        else:
            build_data["force_include"][str(built)] = "labextension/build"


def is_current(lab: Path) -> bool:
    """Whether what is built was built from what is there; from a source distribution, too, which has both."""
    stamp = lab / "build/sources.sha256"
    return stamp.is_file() and stamp.read_text() == digest(lab)


def build(lab: Path) -> None:
    """Build, after fetching what that needs and is not there."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not on PATH; install Node.js 20.19 or later, and install this package again")
    fetched, wanted = lab / "node_modules/.package-lock.json", lab / "package.json"
    if not fetched.is_file() or fetched.stat().st_mtime < wanted.stat().st_mtime:
        subprocess.run([npm, "install", "--omit=dev"], cwd=lab, check=True)
    subprocess.run([npm, "run", "build"], cwd=lab, check=True)
    (lab / "build/sources.sha256").write_text(digest(lab))


def digest(lab: Path) -> str:
    """Return a hash of all that the build is made from."""
    hashed = hashlib.sha256()
    for file in files(lab):
        hashed.update(f"{file.relative_to(lab).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return hashed.hexdigest()


def files(lab: Path) -> Iterator[Path]:
    """Yield the sources in an order that is the same everywhere."""
    for name in SOURCES:
        source = lab / name
        yield from sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
