"""What specs of the gateway family tell `launch_kubernetes.py`, which would create a pod by the template beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes_kernel_provider.template_files import SCRIPT
from remote_kernel_provider.kernelspecs.config_keys import BY_PARAMETER, KUBERNETES
from remote_kernel_provider.kernelspecs.host_script import HostScript


def _mounted(config: Mapping[str, Any]) -> Iterator[str]:
    mounts = (mount for mount in config.get("volume_mounts", ()) if isinstance(mount, Mapping))
    return (str(mount["mountPath"]) for mount in mounts if "mountPath" in mount)


LAUNCH_KUBERNETES = HostScript(
    SCRIPT.rpartition("/")[2],
    # Its template prints every `KERNEL_…`.
    {key.variable: key.name for key in BY_PARAMETER.values() if KUBERNETES in key.backends},
    _mounted,
)
"""The script as the hosts of that family have it."""
