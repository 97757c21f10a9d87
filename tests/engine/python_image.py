"""The project's own Python kernel image, built from the Dockerfile that users get."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from engine.daemon import SharedDaemon
from engine.images import BASE, LABEL, NETWORK, ROOT, make, make_kept

REPOSITORY = "rkp-test/kernel-python"
SOURCES = ROOT / "launchers"
PARTS = ("images", "src", "pyproject.toml", "README.md", ".dockerignore")
"""What the image is made of, in `SOURCES`."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""This machine's, which the build is lent: the package index may be reached through a proxy that only it knows."""


def make_python_image(client: Any) -> str:
    """Have the image on an engine, as the sources are now; return its name.

    Parameters
    ----------
    client
        A `docker.APIClient` of the engine.
    """
    name = f"{REPOSITORY}:{_fingerprint()}"
    with SharedDaemon().alone():  # made once, although several processes want it
        if not client.images(name):
            for older in client.images(REPOSITORY):
                client.remove_image(older["Id"], force=True)
            make_kept(client, name, name, lambda: build(client, name))
    return name


def _files() -> list[Path]:
    found = [path for part in PARTS for path in (SOURCES / part, *(SOURCES / part).rglob("*"))]
    return sorted(path for path in found if path.is_file() and path.suffix != ".pyc")


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for file in _files():
        digest.update(f"{file.relative_to(SOURCES)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def build(client: Any, name: str, **options: Any) -> None:
    """Build the image under a name.

    Parameters
    ----------
    client
        A `docker.APIClient` of the engine.
    name
        Of the image.
    options
        More of `APIClient.build`.
    """
    make(client, BASE)
    arguments = {"BASE_IMAGE": BASE}
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        for file in _files():
            copy = context / file.relative_to(SOURCES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        if CERTIFICATES.exists():
            shutil.copy(CERTIFICATES, context / "ca.crt")
            arguments["PIP_CERT"] = "/src/ca.crt"
        steps = client.build(
            path=folder,
            dockerfile="images/python/Dockerfile",
            tag=name,
            buildargs=arguments,
            labels={LABEL: "image"},
            network_mode=NETWORK,
            rm=True,
            forcerm=True,
            decode=True,
            **options,
        )
        said = [step.get("stream") or step.get("error") or "" for step in steps]
    assert client.images(name), f"{name} cannot be built:\n{''.join(said[-30:])}"
