"""Jupyter kernels in Kubernetes pods."""

from kubernetes_kernel_provider._version import __version__

__all__ = ["__version__"]
