"""Kernels in containers of the tests' own engine, each test with Jupyter folders of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.fixtures import Engine
from engine.images import KERNEL

from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing import isolation
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run

TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
"""A kernel that starts in a tenth of a second."""
CONFIG = {"image_name": KERNEL, "transport_encryption": "disabled"}


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test Jupyter folders of its own; the `kernels` folder in them."""
    return isolation.own_folders(tmp_path, monkeypatch)


@pytest.fixture
def make_kernels(own_folders: Path) -> Iterator[Callable[..., Kernels]]:
    """Make hosts of kernels; settings of the operator are given by name."""
    made: list[Kernels] = []

    def make(
        instance: str = "server-1", provider: type[DockerKernelProvider] = DockerKernelProvider, **settings: object
    ) -> Kernels:
        host = Host(load_settings(), instance)
        for name, value in settings.items():
            setattr(host.settings, name, value)
        kernels = Kernels(provider(host), own_folders, "", CONFIG)
        kernels.add_spec("tiny", TINY)
        made.append(kernels)
        return kernels

    yield make
    for kernels in made:
        kernels.close()
    for kernels in made:
        run(kernels.host.close())


@pytest.fixture
def kernels(make_kernels: Callable[..., Kernels], engine: Engine, image: Callable[[str], str]) -> Kernels:
    """Give a host of kernels with the default settings, and the engine with its image."""
    image(KERNEL)
    return make_kernels()
