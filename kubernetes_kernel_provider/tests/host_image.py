"""The image of a host in a cluster: the cluster's Python image, Jupyter Server, and wheels of this very tree."""

import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from cluster.building import Built
from cluster.images import PYTHON, ROOT, compile_modules, read_layers, write_image, write_layer
from keeping import kept

HOST_IMAGE = "cluster.test/remote-kernels-host:1"
SOURCES = ("remote_kernel_provider", "kubernetes_kernel_provider")
PLATFORMS = [f"--platform=manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_28", "_2_34")]


def build_host_image(folder: Path) -> Path:
    """Build the image's archive in a folder.

    Parameters
    ----------
    folder
        Empty.
    """
    wheels, packages = folder / "wheels", folder / "packages"
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *(ROOT / source for source in SOURCES))
    _install(packages, "--no-deps", *sorted(wheels.glob("*.whl")))
    archive = folder / "host.tar"
    write_image(archive, HOST_IMAGE, [*_layers_below(), write_layer(folder / "packages.layer", packages)])
    return archive


def _layers_below() -> list[Path]:
    """Return the layers with all that changes seldom, kept between runs."""
    declared = {requirement for source in SOURCES for requirement in requires(source) or ()}
    own = tuple(source.replace("_", "-") for source in SOURCES)
    needed = sorted(each for each in declared if "extra ==" not in each and not each.startswith((*own, *SOURCES)))
    needed.append("jupyter_server>=2.6")

    def make(folder: Path) -> None:
        read_layers(Built().python, folder)
        _install(folder / "packages", *needed)
        write_layer(folder / "packages.tar", folder / "packages")
        shutil.rmtree(folder / "packages")

    folder = kept("host-image", "\n".join((Built().python.parent.name, *needed)), make)
    return [*sorted(folder.glob("layer-*.tar")), folder / "packages.tar"]


def _pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def _install(root: Path, *what: object) -> None:
    """Install as the image's Python would, on whatever Python this is."""
    site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *PLATFORMS]
    _pip("install", "--no-compile", "--target", site, *target, *what)
    compile_modules(root)
    (site / "bin").rename(root / "usr/local/bin")
    for program in (root / "usr/local/bin").iterdir():
        _, _, script = program.read_text().partition("\n")
        program.write_text(f"#!/usr/bin/python3\n{script}")
