"""The connection file in a pod: the Secret that holds it, and how the kernel comes to see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes_kernel_provider.manifests.labels import handle_annotation
from kubernetes_kernel_provider.manifests.volumes import OUR_PREFIX, add_own
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.lifecycle import KernelMemory

CONNECTION_FOLDER = "/run/remote-kernel"
_COPY_MOUNT = "/run/remote-kernel-copy"
COPY_FOLDER = f"{_COPY_MOUNT}/private"
"""Made by whoever copies, for himself alone: everybody in the container can write where the volume is mounted."""
FILE_NAME = "connection.json"

_VOLUME, _COPY_VOLUME = f"{OUR_PREFIX}connection", f"{OUR_PREFIX}connection-copy"
_MEMORY, _SEAL = "memory.json", "seal"

_COPY = '(umask 077 && mkdir "${2%/*}" && cat "$1" >"$2") && shift 2 && exec "$@"'
"""What a shell runs with the two paths and the kernel's command as its arguments."""


def secret_name(pod_name: str) -> str:
    """Return the name of a pod's connection Secret."""
    return f"{OUR_PREFIX}{pod_name}"


def connection_secret(
    pod: Mapping[str, Any], uid: str, memory: KernelMemory, seal: Callable[[bytes], str]
) -> dict[str, Any]:
    """Return the Secret that a kernel reads its connection file from, and a later host its memory.

    Made after the pod, whose uid it names: the cluster removes it with the pod, and no other pod's can be passed off
    for it.

    Parameters
    ----------
    pod
        The manifest.
    uid
        Of the pod in the cluster.
    memory
        What is kept.
    seal
        The host identity's.
    """
    metadata = pod["metadata"]
    kept = memory.to_bytes()
    content = {
        FILE_NAME: json.dumps(memory.connection.to_json()).encode(),
        _MEMORY: kept,
        _SEAL: seal(_sealed(uid, kept)).encode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(metadata["name"]),
            "namespace": metadata["namespace"],
            "labels": dict(metadata["labels"]),
            "annotations": handle_annotation(pod),
            "ownerReferences": [owner_reference(metadata["name"], uid)],
        },
        "immutable": True,
        "data": {name: base64.b64encode(value).decode() for name, value in content.items()},
    }


def read_memory(secret: Mapping[str, Any], uid: str, is_sealed: Callable[[bytes, str], bool]) -> KernelMemory:
    """Return what a connection Secret keeps.

    Parameters
    ----------
    secret
        As the API gives it.
    uid
        Of the kernel's pod.
    is_sealed
        The host identity's.

    Raises
    ------
    KernelGoneError
        When it is not what this user's host wrote for this pod.
    """
    try:
        data = secret["data"]
        kept, seal = (base64.b64decode(data[name], validate=True) for name in (_MEMORY, _SEAL))
    except (KeyError, TypeError, ValueError):
        raise KernelGoneError("the kernel's Secret holds no memory; it cannot be adopted") from None
    if not is_sealed(_sealed(uid, kept), seal.decode(errors="replace")):
        raise KernelGoneError("the kernel's Secret was not written by this user's host; it cannot be adopted")
    try:
        return KernelMemory.from_bytes(kept)
    except ValueError as error:  # sealed by another version of ours
        raise KernelGoneError(f"the kernel cannot be adopted: {error}") from None


def owner_reference(pod_name: str, uid: str) -> dict[str, Any]:
    """Return what makes the cluster remove an object with its pod."""
    return {"apiVersion": "v1", "kind": "Pod", "name": pod_name, "uid": uid}


def mount_connection(pod: Mapping[str, Any], container: dict[str, Any]) -> None:
    """Mount the connection file where the kernel's command names it: read-only, for the pod's group alone."""
    spec = pod["spec"]
    # The kubelet gives the files to root; without a group of the pod's own, everybody in the container has to read.
    mode = 0o440 if "fsGroup" in spec.get("securityContext", {}) else 0o444
    source = {
        "secretName": secret_name(pod["metadata"]["name"]),
        "defaultMode": mode,
        "items": [{"key": FILE_NAME, "path": FILE_NAME}],
    }
    add_own(spec, container, _VOLUME, {"secret": source}, CONNECTION_FOLDER, readOnly=True)


def copying_command(pod: Mapping[str, Any], container: dict[str, Any], command: Sequence[str]) -> list[str]:
    """Add room for a writable copy of the connection file, and return the command that fills it before the kernel's.

    The shell that copies becomes the kernel's process; the image needs `sh`, `mkdir` and `cat`.
    """
    memory = {"medium": "Memory", "sizeLimit": "1Mi"}
    add_own(pod["spec"], container, _COPY_VOLUME, {"emptyDir": memory}, _COPY_MOUNT)
    paths = [f"{folder}/{FILE_NAME}" for folder in (CONNECTION_FOLDER, COPY_FOLDER)]
    return ["sh", "-c", _COPY, "sh", *paths, *command]


def copied_for(command: Sequence[str]) -> Sequence[str]:
    """Return the command that `copying_command` was given; nothing for another one."""
    return command[6:] if command[4:5] == [f"{CONNECTION_FOLDER}/{FILE_NAME}"] else ()


def _sealed(uid: str, kept: bytes) -> bytes:
    return uid.encode() + b"\0" + kept
