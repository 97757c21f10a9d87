"""What specs of the gateway family tell `launch_docker.py`, which would create a container or a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docker_kernel_provider.mounts import parse_mounts
from remote_kernel_provider.kernelspecs.host_script import HostScript


def _mounted(config: Mapping[str, Any]) -> Iterator[str]:
    return (mount.target for mount in parse_mounts(config.get("volumes", ())))


LAUNCH_DOCKER = HostScript(
    "launch_docker.py",
    {
        "EG_DOCKER_NETWORK": "networks",
        "DOCKER_NETWORK": "networks",
        "KERNEL_IMAGE": "image_name",
        "KERNEL_UID": "uid",
        "KERNEL_GID": "gid",
        "KERNEL_WORKING_DIR": "working_dir",
        "KERNEL_SPARK_CONTEXT_INIT_MODE": "spark_context_init_mode",
        "KERNEL_CLASS_NAME": "class_name",
    },
    _mounted,
)
"""The script as the hosts of that family have it."""
