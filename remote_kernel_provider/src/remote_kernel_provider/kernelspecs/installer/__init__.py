"""The installer that all provider packages share: `jupyter …-kernelspec install`, `list`, `show` and `remove`.

A provider package subclasses `SpecInstall`, names its `SpecKind`, says what a spec is made of when no option is given,
declares its own options as traits tagged `option=True`, and calls `run_installer` from its console script.
"""

from remote_kernel_provider.kernelspecs.installer.application import SpecApplication, run_installer
from remote_kernel_provider.kernelspecs.installer.command_line import SpecCommand, UsageError
from remote_kernel_provider.kernelspecs.installer.container_install import ContainerSpecInstall
from remote_kernel_provider.kernelspecs.installer.documents import (
    NewSpec,
    SpecKind,
    provider_document,
    stock_document,
)
from remote_kernel_provider.kernelspecs.installer.install import SpecInstall
from remote_kernel_provider.kernelspecs.installer.options import ConfigValue, ConfigValues
from remote_kernel_provider.kernelspecs.installer.source import SourceKernel, find_source

__all__ = [
    "ConfigValue",
    "ConfigValues",
    "ContainerSpecInstall",
    "NewSpec",
    "SourceKernel",
    "SpecApplication",
    "SpecCommand",
    "SpecInstall",
    "SpecKind",
    "UsageError",
    "find_source",
    "provider_document",
    "run_installer",
    "stock_document",
]
