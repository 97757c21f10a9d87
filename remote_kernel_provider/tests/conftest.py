"""Jupyter folders of each test's own, and no setting from outside; local kernels, specs, settings, commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from asking import ANN
from processes import TINY
from toy_kernel import TOY, ordinary

from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, LaunchParameters
from remote_kernel_provider.parameters.resolve import resolve_parameters
from remote_kernel_provider.testing.isolation import own_environment, own_folders
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run


@pytest.fixture(autouse=True)
def jupyter_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test Jupyter folders of its own; the `kernels` folder in them."""
    return own_folders(tmp_path, monkeypatch)


@pytest.fixture
def host(jupyter_folders: Path) -> Iterator[Host]:
    """A host that comes back."""
    host = Host(load_settings(), "server-1")
    yield host
    run(host.close())


@pytest.fixture
def kernels(host: Host, jupyter_folders: Path) -> Iterator[Kernels]:
    """Its local kernels; nothing is left of them when a test ends."""
    kernels = Kernels(LocalKernelProvider(host), jupyter_folders, "", {})
    kernels.add_spec("tiny", TINY)
    yield kernels
    kernels.close()


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], list[str]]:
    """The names of the local kernels' folders that there are."""
    return lambda: sorted(path.name for path in (tmp_path / "runtime" / "remote-kernels").glob("*"))


@pytest.fixture
def kernels_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernels folder of a new environment on the Jupyter path, with one ordinary kernel in it."""
    folder = own_environment(tmp_path, monkeypatch)
    ordinary(folder / "toy", TOY)
    return folder


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
def resolve(make_spec, make_settings):
    """Resolve the values of one client, for a spec and settings."""

    def resolve(values=None, *, spec=None, settings=None, identity=ANN, **request) -> LaunchParameters:
        spec = make_spec(lifecycle_manager="kubernetes", **(spec or {}))
        request = ClientRequest("some-id", identity, values or {}, **request)
        return resolve_parameters("k8skp", spec, request, make_settings(**(settings or {})))

    return resolve


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
