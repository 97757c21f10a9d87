"""Jupyter folders of each test's own, and no setting from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.kernelspecs.spec import KernelSpec


@pytest.fixture(autouse=True)
def jupyter_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test Jupyter folders of its own; the `kernels` folder in them."""
    for name in list(os.environ):
        if name.startswith(("RKP_", "GP_", "EG_", "K8SKP_", "KERNEL_")):
            monkeypatch.delenv(name)
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind.lower()))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path / "data" / "kernels"


@pytest.fixture
def write_spec(jupyter_folders: Path):
    """Write a spec file; a dict becomes JSON."""

    def write(document, name: str = "good", file_name: str = "local_kernel.json", folder: Path | None = None) -> Path:
        file = (folder or jupyter_folders) / name / file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        return file

    return write


@pytest.fixture
def make_spec(tmp_path: Path):
    """Make a kernel spec without a file."""

    def make(**fields) -> KernelSpec:
        defaults = {
            "name": "python",
            "file": tmp_path / "kernels" / "python" / "local_kernel.json",
            "display_name": "Python",
            "language": "python",
            "argv": ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"),
            "lifecycle_manager": "local",
        }
        return KernelSpec(**{**defaults, **fields})

    return make


@pytest.fixture
def make_settings():
    """Make settings that no file and no environment touched."""

    def make(**values) -> RemoteKernelSettings:
        return RemoteKernelSettings(**values)

    return make


@pytest.fixture
def command():
    """Run `jupyter remote-kernel …` in a process of its own."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "remote_kernel_provider.cli", *arguments],
            input=stdin,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def nothing_left(tmp_path: Path):
    """Fail when the test leaves a kernel: its process, its folder or its connection file."""
    yield
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(process.info["cmdline"] or [])
    ]
    runtime = tmp_path / "runtime"
    files = [*runtime.glob("remote-kernels/*"), *runtime.glob("kernel-*.json")]
    assert (left, files) == ([], [])
