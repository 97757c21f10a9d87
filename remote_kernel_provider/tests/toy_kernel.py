"""An ordinary kernel to install from, and what an installer makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from remote_kernel_provider.kernelspecs.installer import SpecKind
from remote_kernel_provider.local.installer import main

DOCKER_KIND = SpecKind("docker", "docker_kernel.json", "docker_kernel_provider.DockerLifecycleManager", "docker-spec")
"""What distinguishes the specs of another provider."""
PNG = b"\x89PNG not really"
TOY = {
    "display_name": "Toy (tiny)",
    "language": "toy",
    "argv": ["python", "{resource_dir}/toy.py", "-f", "{connection_file}", "{prefix}"],
    "env": {"TOYS": "$HOME/toys"},
    "interrupt_mode": "message",
    "metadata": {
        "debugger": True,
        "supported_encryption": ["curve"],
        "parameters": {"type": "object", "properties": {"memory": {"type": "string"}}},
    },
}


def ordinary(folder: Path, document: Any) -> None:
    """Write an ordinary kernel's folder."""
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(document))
    (folder / "logo-64x64.png").write_bytes(PNG)
    (folder / "toy.py").write_text("")


def install(kernels: Path, *options: str) -> int:
    """Install into the environment of a `kernels` folder; return the exit status."""
    return main(["install", "--prefix", str(kernels.parents[2]), *options])


def read(file: Path) -> Any:
    """Return the JSON in a file."""
    return json.loads(file.read_text())


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
