"""Images without a registry and without Docker: archives that containerd imports.

`PYTHON_IMAGE` is Debian's python3 with ipykernel, and of ours the small kernel for crowds and the launcher of the
reported handshake.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from keeping import kept

# Not `latest`: the kubelet would pull it.
PAUSE_IMAGE = "cluster.test/pause:1"
PYTHON_IMAGE = "cluster.test/python:1"
PYTHON = "3.11"
"""Debian's."""
REQUIREMENTS = ("ipykernel>=7.3", "pycryptodomex")
ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "launchers/src/kernel_launchers"
TINY_KERNEL = ROOT / "remote_kernel_provider/src/remote_kernel_provider/testing/tiny_kernel.py"

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "1970-01-01T00:00:00Z",
}


def install_packages(root: Path, *what: str) -> None:
    """Install packages below a layer's root, for the image's Python, on whatever Python this is."""
    site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    platforms = [f"--platform=manylinux{version}_x86_64" for version in ("2014", "_2_17", "_2_28", "_2_34")]
    target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(site), *target, *what]
    subprocess.run(command, check=True)
    compile_modules(root)
    (site / "bin").rename(root / "usr/local/bin")
    for program in (root / "usr/local/bin").iterdir():
        _, _, script = program.read_text().partition("\n")
        program.write_text(f"#!/usr/bin/python3\n{script}")


def kept_packages(name: str, what: Sequence[str]) -> Path:
    """Return the layer of packages of others, kept between runs."""

    def make(folder: Path) -> None:
        install_packages(folder / "root", *what)
        write_layer(folder / "packages.tar", folder / "root")
        shutil.rmtree(folder / "root")

    return kept(name, "\n".join((PYTHON, str(_compiles()), *what)), make) / "packages.tar"


def write_own_modules(root: Path) -> None:
    """Write below a layer's root what the kernels' image has of ours."""
    site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
    shutil.copytree(LAUNCHER, site / LAUNCHER.name, ignore=shutil.ignore_patterns("__pycache__", "*.toml"))
    (site / TINY_KERNEL.name).write_bytes(TINY_KERNEL.read_bytes())
    compile_modules(root)
    programs = root / "usr/local/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/usr/bin/python3")


def compile_modules(root: Path) -> None:
    """Write the bytecode of all modules below a layer's root, where this Python is of the version of the image's.

    The kernels' user cannot write it, and layers have no times by which it would count as up to date.
    """
    if _compiles():
        options = ("-qq", "--invalidation-mode=unchecked-hash", "-s", str(root), "-p", "/")
        # Some packages hold examples of what cannot be compiled.
        subprocess.run([sys.executable, "-m", "compileall", *options, str(root)], check=False)


def _compiles() -> bool:
    return "{}.{}".format(*sys.version_info) == PYTHON


def write_layer(layer: Path, folder: Path) -> Path:
    """Pack a folder as a layer, an uncompressed tar file, in which all belongs to root; return the layer."""
    with tarfile.open(layer, "w") as packed:
        for child in sorted(folder.iterdir()):
            packed.add(child, arcname=child.name, filter=_owned_by_root)
    return layer


def write_image(archive: Path, name: str, layers: Sequence[Path], entrypoint: Sequence[str] = ()) -> None:
    """Pack layers as an image in Docker's archive format.

    Parameters
    ----------
    archive
        What is written, whole or not at all.
    name
        Of the image.
    layers
        Uncompressed tar files, the lowest one first.
    entrypoint
        Of the image.
    """
    digests = [_digest(file) for file in layers]
    image = {
        **CONFIG,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            **({"Entrypoint": list(entrypoint)} if entrypoint else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": CONFIG["created"], "created_by": "tests/cluster"} for _ in digests],
    }
    config = json.dumps(image).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": names}]).encode()
    partial = archive.with_name(f"{archive.name}.partial")
    with tarfile.open(partial, "w") as packed:
        for entry_name, content in ((config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(entry_name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        for entry_name, file in zip(names, layers, strict=True):
            packed.add(file, arcname=entry_name)
    partial.rename(archive)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
