"""The image of a host in a cluster: the cluster's Python image, Jupyter Server, and wheels of this very tree."""

import subprocess
import sys
import tarfile
from pathlib import Path

from cluster.building import Built
from cluster.images import PYTHON, ROOT, write_image

HOST_IMAGE = "cluster.test/remote-kernels-host:1"
SOURCES = ("remote_kernel_provider", "kubernetes_kernel_provider")


def build_host_image(folder: Path) -> Path:
    """Build the image's archive in a folder.

    Parameters
    ----------
    folder
        Empty.
    """
    wheels, packages, base = folder / "wheels", folder / "packages", folder / "base.tar"
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *(ROOT / source for source in SOURCES))
    _install(packages, sorted(wheels.glob("*.whl")))
    _flatten(Built().python, base)
    archive = folder / "host.tar"
    write_image(archive, HOST_IMAGE, base=base, folder=packages)
    base.unlink()
    return archive


def _pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def _install(root: Path, wheels: list[Path]) -> None:
    """Install as the image's Python would, on whatever Python this is."""
    site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    platforms = [f"--platform=manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_28", "_2_34")]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms]
    _pip("install", "--target", site, *target, *wheels, "jupyter_server>=2.6")
    (site / "bin").rename(root / "usr/local/bin")
    for program in (root / "usr/local/bin").iterdir():
        _, _, script = program.read_text().partition("\n")
        program.write_text(f"#!/usr/bin/python3\n{script}")


def _flatten(image: Path, layer: Path) -> None:
    """Write all layers of an image's archive as one."""
    with tarfile.open(image) as packed, tarfile.open(layer, "w") as flat:
        for member in packed.getmembers():
            if not member.name.endswith("/layer.tar"):
                continue
            with tarfile.open(fileobj=packed.extractfile(member)) as each:
                for entry in each:
                    flat.addfile(entry, each.extractfile(entry) if entry.isreg() else None)
