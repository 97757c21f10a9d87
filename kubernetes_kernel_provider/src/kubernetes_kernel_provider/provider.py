"""`KubernetesKernelProvider`: kernels in pods of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kubernetes_kernel_provider.host_script import LAUNCH_KUBERNETES
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, KUBERNETES, ConfigKey
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.provider import RemoteKernelProvider


class KubernetesKernelProvider(RemoteKernelProvider):
    """Offers the specs in `k8skp_kernel.json` files, and ordinary kernels of the gateway family that name a pod."""

    id: ClassVar[str] = "k8skp"  # type: ignore[misc]
    kernel_file: ClassVar[str] = "k8skp_kernel.json"
    default_lifecycle: ClassVar[str] = KUBERNETES
    lifecycle_managers: ClassVar[frozenset[str]] = frozenset({KUBERNETES})
    config_keys: ClassVar[Sequence[ConfigKey]] = tuple(key for key in CONFIG_KEYS if KUBERNETES in key.backends)

    def prepare(self, spec: KernelSpec) -> KernelSpec:
        """Return a spec without the script of the host that specs of the gateway family run."""
        return LAUNCH_KUBERNETES.left_out(spec)
