"""The images of the tests, made here: no registry is needed.

| image | holds |
|---|---|
| `BASE` | Debian with Python, `venv` and certificates: what the project's own images build on |
| `DEBIAN` | Debian's python3 and ipykernel and nothing else: an image that knows nothing of us |
| `KERNEL` | `DEBIAN` with `python`, the tiny kernel and the launcher: what the contract runs on |
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import debian
from keeping import kept

LABEL = "rkp-test"
"""Label of all images and containers that tests make themselves."""
BASE = f"rkp-test/base:{debian.SUITE}"
DEBIAN = f"rkp-test/debian-kernel:{debian.SUITE}"
KERNEL = "rkp-test/kernel:1"

NETWORK = "host"
"""Of builds that fetch packages: an engine's start takes other engines' containers their way to the outside."""

ROOT = Path(__file__).parents[2]
LAUNCHERS = ROOT / "launchers/src/kernel_launchers"
TINY_KERNEL = ROOT / "remote_kernel_provider/src/remote_kernel_provider/testing/tiny_kernel.py"
PACKAGES = {
    BASE: debian.PYTHON,
    DEBIAN: ("python3", "python3-ipykernel"),
}
PYTHON = "3.11"
"""Debian's, in that suite."""
MODULES = "/usr/local/lib/python3.11/dist-packages/"
DOCKERFILE = f"""
FROM {DEBIAN}
RUN ln -s python3 /usr/bin/python
COPY modules {MODULES}
"""


def is_there(client: Any, image: str) -> bool:
    """Whether an engine has an image, made of our present sources."""
    label = {} if image in PACKAGES else {"filters": {"label": f"{LABEL}={_fingerprint()}"}}
    return bool(client.images(image, **label))


def make(client: Any, image: str) -> str:
    """Have an image on an engine; return its name.

    Parameters
    ----------
    client
        A `docker.APIClient` of the engine.
    image
        One of the names above.
    """
    if is_there(client, image):
        return image
    if image in PACKAGES:
        with debian.system(PACKAGES[image]).open("rb") as tar:
            client.import_image_from_data(tar, *image.split(":"), changes=[f"LABEL {LABEL}=image"])
    else:
        make(client, DEBIAN)
        _build(client, image)
    return image


def make_kept(client: Any, image: str, recipe: str, build: Callable[[], None]) -> None:
    """Have an image on an engine: as an earlier run kept it, or built and kept from now on.

    Parameters
    ----------
    client
        A `docker.APIClient` of the engine.
    image
        Its name.
    recipe
        All that its content depends on.
    build
        Builds it on the engine.
    """

    def make(folder: Path) -> None:
        build()
        with (folder / "image.tar").open("wb") as archive:
            for piece in client.get_image(image):
                archive.write(piece)

    folder = kept(f"image-{image.split('/')[1].partition(':')[0]}", recipe, make)
    if not client.images(image):
        with (folder / "image.tar").open("rb") as archive:
            client.load_image(archive)


def _fingerprint() -> str:
    """Return what stands for the present content of our sources in the image."""
    digest = hashlib.sha256(DOCKERFILE.encode())
    for file in (TINY_KERNEL, *sorted(LAUNCHERS.rglob("*.py"))):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _build(client: Any, image: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        modules = Path(name) / "modules"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(modules), "--only-binary=:all:"]
        subprocess.run([*pip, f"--python-version={PYTHON}", "--no-deps", "pycryptodomex"], check=True, timeout=300)
        shutil.copytree(LAUNCHERS, modules / LAUNCHERS.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(TINY_KERNEL, modules)
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            tar.add(modules, "modules")
            file = tarfile.TarInfo("Dockerfile")
            file.size = len(DOCKERFILE)
            tar.addfile(file, io.BytesIO(DOCKERFILE.encode()))
    context.seek(0)
    options = {"tag": image, "labels": {LABEL: _fingerprint()}, "rm": True, "forcerm": True}
    steps = list(client.build(fileobj=context, custom_context=True, decode=True, **options))
    errors = [step["error"] for step in steps if "error" in step]
    assert not errors, f"{image}: {errors}"
