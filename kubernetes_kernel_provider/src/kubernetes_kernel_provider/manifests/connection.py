"""The connection file in a pod: the Secret that holds it, and how the kernel comes to see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes_kernel_provider.manifests.labels import handle_annotation
from kubernetes_kernel_provider.manifests.volumes import OUR_PREFIX, add_own
from remote_kernel_provider.connection.info import ConnectionInfo

CONNECTION_FOLDER = "/run/remote-kernel"
_COPY_MOUNT = "/run/remote-kernel-copy"
COPY_FOLDER = f"{_COPY_MOUNT}/private"
"""Made by whoever copies, for himself alone: everybody in the container can write where the volume is mounted."""
FILE_NAME = "connection.json"

_VOLUME, _COPY_VOLUME = f"{OUR_PREFIX}connection", f"{OUR_PREFIX}connection-copy"
_MEMORY = "memory"

_COPY = '(umask 077 && mkdir "${2%/*}" && cat "$1" >"$2") && shift 2 && exec "$@"'
"""What a shell runs with the two paths and the kernel's command as its arguments."""


def secret_name(pod_name: str) -> str:
    """Return the name of a pod's connection Secret."""
    return f"{OUR_PREFIX}{pod_name}"


def connection_secret(pod: Mapping[str, Any], uid: str, connection: ConnectionInfo, memory: bytes) -> dict[str, Any]:
    """Return the Secret that a kernel reads its connection file from, and a later host its memory.

    Made after the pod, whose uid it names: the cluster removes it with the pod.

    Parameters
    ----------
    pod
        The manifest.
    uid
        Of the pod in the cluster.
    connection
        The kernel's.
    memory
        What is kept for hosts, sealed.
    """
    metadata = pod["metadata"]
    content = {FILE_NAME: json.dumps(connection.to_json()).encode(), _MEMORY: memory}
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


def kept_memory(secret: Mapping[str, Any]) -> bytes | None:
    """Return the sealed memory that a connection Secret, as the API gives it, keeps; None where it keeps none."""
    try:
        return base64.b64decode(secret["data"][_MEMORY], validate=True)
    except (KeyError, TypeError, ValueError):
        return None


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
