"""A kernel image made of the package gateway_provisioners, as its documentation says, and the spec that it writes."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.daemon import SharedDaemon
from engine.images import BASE, LABEL, NETWORK, make, make_kept
from engine.python_image import CERTIFICATES

PACKAGES = "gateway_provisioners==0.5.0 ipykernel==7.4.0"
NAME = "rkp-test/gateway-provisioners:0.5.0"
SPEC = "/opt/spec/share/jupyter/kernels/theirs/kernel.json"
DOCKERFILE = f"""
FROM {BASE}
LABEL {LABEL}=image
ARG PIP_INDEX_URL PIP_CERT
COPY ca.crt /src/ca.crt
RUN python3 -m venv /opt/kernel && /opt/kernel/bin/pip install --no-cache-dir --quiet {PACKAGES}
ENV PATH=/opt/kernel/bin:$PATH
RUN jupyter-image-bootstrap install --languages python && chmod 0755 /usr/local/bin/bootstrap-kernel.sh
RUN jupyter-docker-spec install --prefix /opt/spec --kernel-name theirs --image-name {NAME}
CMD ["/usr/local/bin/bootstrap-kernel.sh"]
"""


def make_peer_image(client: Any) -> str:
    """Have the image on an engine; return its name."""
    with SharedDaemon().alone():
        if not client.images(NAME):
            make_kept(client, NAME, DOCKERFILE, lambda: _build(client))
    return NAME


def peer_spec(client: Any) -> dict[str, Any]:
    """Return the kernel spec that the package's installer wrote in its image."""
    with _archive(client, SPEC) as tar:
        file = tar.extractfile("kernel.json")
        assert file is not None
        spec: dict[str, Any] = json.load(file)
        return spec


def write_peer_kubernetes_spec(client: Any, folder: Path) -> None:
    """Write the kernel spec of a pod, as the package's installer does, with its template and its script.

    Parameters
    ----------
    client
        A `docker.APIClient` of an engine that has the image.
    folder
        Of kernel specs; that of the new one is called `theirs`.
    """
    command = ["jupyter-k8s-spec", "install", "--prefix=/tmp", "--kernel-name=theirs", f"--image-name={NAME}"]
    with _archive(client, "/tmp/share/jupyter/kernels/theirs", command) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)


@contextmanager
def _archive(client: Any, path: str, command: list[str] | None = None) -> Iterator[tarfile.TarFile]:
    """Read what is at a path of the image, after a command in it."""
    container = client.create_container(NAME, command, labels={LABEL: "look"})["Id"]
    try:
        if command is not None:
            client.start(container)
            assert client.wait(container)["StatusCode"] == 0, client.logs(container).decode()
        pieces, _ = client.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            yield tar
    finally:
        client.remove_container(container, force=True, v=True)


def _build(client: Any) -> None:
    make(client, BASE)
    certificates = CERTIFICATES.read_bytes() if CERTIFICATES.exists() else b""
    arguments = {"PIP_CERT": "/src/ca.crt"} if certificates else {}
    if index := os.environ.get("PIP_INDEX_URL"):
        arguments["PIP_INDEX_URL"] = index
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (("Dockerfile", DOCKERFILE.encode()), ("ca.crt", certificates)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    context.seek(0)
    options = {"network_mode": NETWORK, "rm": True, "forcerm": True, "decode": True}
    steps = client.build(fileobj=context, custom_context=True, tag=NAME, buildargs=arguments, **options)
    said = [step.get("stream") or step.get("error") or "" for step in steps]
    assert client.images(NAME), f"{NAME} cannot be built:\n{''.join(said[-30:])}"
