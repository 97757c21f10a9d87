"""Jupyter kernels in Kubernetes pods (nothing is registered yet)."""

from kubernetes_kernel_provider._version import __version__

__all__ = ["__version__"]
