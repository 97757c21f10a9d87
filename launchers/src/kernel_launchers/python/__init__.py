"""The launcher of Python kernels: ``python -m kernel_launchers.python``."""
