"""What is installed, in which versions, and whether the entry points load."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import zmq
from jupyter_core.paths import jupyter_path

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.findings import Finding, note, ok, problem
from remote_kernel_provider.kernel_mgmt import PROVIDER_GROUP

DISTRIBUTIONS = (
    ("remote-kernel-provider", ""),
    ("docker-kernel-provider", "kernels in Docker need it"),
    ("kubernetes-kernel-provider", "kernels in Kubernetes need it"),
    ("remote-kernel-launchers", "only kernel images and reported handshakes need it"),
    ("jupyter_client", ""),
    ("nbclient", ""),
    ("jupyter_server", "JupyterLab and Notebook need it"),
    ("jupyterlab", "only for working in a browser"),
    ("ipykernel", "local Python kernels need it"),
)
"""What is looked for, and what for it is needed where it may be absent."""

LAB_EXTENSION = "remote-kernel-provider-labextension"


def check_installation() -> Iterator[Finding]:
    """Check Python, the distributions, JupyterLab's part, ZMQ and the kernel providers."""
    yield ok("python", f"{platform.python_version()} ({sys.executable})")
    for name, needed_for in DISTRIBUTIONS:
        yield _distribution(name, needed_for)
    yield _lab_extension()
    yield _zmq()
    yield from _providers()


def _distribution(name: str, needed_for: str) -> Finding:
    try:
        return ok(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        if needed_for:
            return note(name, f"not installed; {needed_for}")
        return problem(name, "not installed", f"pip install {name}")


def _lab_extension() -> Finding:
    subject = "lab extension"
    for folder in jupyter_path("labextensions"):
        file = Path(folder, LAB_EXTENSION, "package.json")
        try:
            return ok(subject, f"{json.loads(file.read_bytes())['version']} ({file.parent})")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            return note(subject, f"{file} cannot be read: {error}", "install remote-kernel-provider again")
    missing = "not built, as npm was missing: JupyterLab shows no launches, parameters and remote kernels"
    return note(subject, missing, "install a wheel of remote-kernel-provider, or Node.js and then the package again")


def _zmq() -> Finding:
    seen = f"{zmq.pyzmq_version()}, libzmq {zmq.zmq_version()}"
    if zmq.has("curve"):
        return ok("pyzmq", f"{seen}, with CURVE")
    return note("pyzmq", f"{seen}, without CURVE: channels are not encrypted", "pip install --force-reinstall pyzmq")


def _providers() -> Iterator[Finding]:
    points = sorted(importlib.metadata.entry_points(group=PROVIDER_GROUP), key=lambda point: point.name)
    for point in points:
        subject = f"provider {point.name}"
        distribution = point.dist.name if point.dist is not None else point.value
        try:
            count = sum(1 for _ in point.load()().find_kernels())
        except RemoteKernelError as error:
            yield note(subject, f"cannot list its kernels: {error}")  # the check of the settings says what to do
        except Exception as error:  # noqa: BLE001  # another package's code: anything can happen in it
            remedy = f"pip install --upgrade {distribution}, or uninstall it"
            yield problem(subject, f"({point.value}) fails: {error or type(error).__name__}", remedy)
        else:
            yield ok(subject, f"{count} kernel(s), by {distribution}")
