"""Run Jupyter kernels somewhere else: the core that every provider stands on, and the embedded `local` provider."""

from remote_kernel_provider._version import __version__

__all__ = ["__version__"]
