"""Jupyter kernels in Docker containers and Swarm services."""

from docker_kernel_provider._version import __version__

__all__ = ["__version__"]
