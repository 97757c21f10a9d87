"""Where in the API the objects of a kernel are, by its handle."""

from __future__ import annotations

from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.manifests import secret_name
from remote_kernel_provider.lifecycle import KernelResource


def namespace_of(resource: KernelResource) -> str:
    """Return the namespace of a kernel's pod."""
    return str(resource.data["namespace"])


def pod_path(resource: KernelResource) -> str:
    """Return the path of a kernel's pod."""
    return namespaced("pods", namespace_of(resource), str(resource.data["pod"]))


def secret_path(resource: KernelResource) -> str:
    """Return the path of a kernel's connection Secret."""
    return namespaced("secrets", namespace_of(resource), secret_name(str(resource.data["pod"])))
