"""The one place that imports `jupyter_kernel_mgmt`, and that mends what its last release (0.5.1) gets wrong.

Everything of ours imports from here. What is mended:

- It uses `asyncio.coroutine`, which Python 3.11 removed. As a decorator of generators that are never awaited it does
  nothing, so nothing takes its place while the library is imported.
- In `KernelFinder`, one provider that raises hides all others, and an unknown kernel is a bare error: see the subclass.
- A client in interrupt mode `message` sends its request to the busy shell channel, and fails. Our connection info
  therefore names no mode, so that clients call the manager's `interrupt`, which does what the spec says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from remote_kernel_provider.errors import NoSuchKernelError
from remote_kernel_provider.kernelspecs.stock import leads_to_us

log = logging.getLogger(__name__)

PROVIDER_GROUP = "jupyter_kernel_mgmt.kernel_type_providers"
"""Entry-point group of kernel providers."""


def _import_discovery() -> Any:
    names = vars(asyncio)
    original = names.get("coroutine")
    names["coroutine"] = lambda function: function
    try:
        return import_module("jupyter_kernel_mgmt.discovery")
    finally:
        if original is None:
            del names["coroutine"]
        else:
            names["coroutine"] = original


if TYPE_CHECKING:
    from abc import ABC

    class KernelProviderBase(ABC):
        """Typed as far as we use it."""

        id: str | None

    class KernelManagerABC(ABC):
        """Typed as far as we use it."""

        kernel_id: str | None

    class _PlainKernelFinder:
        providers: list[Any]

        def __init__(self, providers: list[Any]) -> None: ...

else:
    _discovery = _import_discovery()
    KernelProviderBase = _discovery.KernelProviderBase
    _PlainKernelFinder = _discovery.KernelFinder
    KernelManagerABC = import_module("jupyter_kernel_mgmt.managerabc").KernelManagerABC


class KernelFinder(_PlainKernelFinder):
    """Finds and launches the kernels of all installed providers, of ours and of anybody's.

    A provider that fails costs one warning and hides nobody else's kernels.
    """

    @classmethod
    def from_entrypoints(cls) -> KernelFinder:
        """Load every installed provider; one that cannot be loaded costs one warning."""
        providers = []
        for point in sorted(entry_points(group=PROVIDER_GROUP), key=lambda point: point.name):
            try:
                providers.append(point.load()())
            except Exception as error:  # noqa: BLE001  # another package's code: anything can happen in it
                log.warning("The kernel provider '%s' (%s) cannot be loaded: %s", point.name, point.value, error)
        return cls(providers)

    def find_kernels(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield `(provider/name, attributes)` of every kernel, each once.

        The library's own provider also offers the `kernel.json` that our installers write for stock Jupyter.
        """
        for provider in self.providers:
            try:
                for name, attributes in provider.find_kernels():
                    if not leads_to_us(attributes.get("metadata") or {}):
                        yield f"{provider.id}/{name}", attributes
            except Exception as error:  # noqa: BLE001  # another package's code: anything can happen in it
                log.warning("The kernel provider '%s' cannot list its kernels: %s", provider.id, error)

    async def launch(
        self, name: str, cwd: str | None = None, launch_params: Mapping[str, Any] | None = None
    ) -> tuple[Mapping[str, Any], KernelManagerABC]:
        """Launch a kernel.

        Parameters
        ----------
        name
            `provider/name`.
        cwd
            Working directory that the client would like.
        launch_params
            Launch parameters of the provider.

        Returns
        -------
        tuple
            The connection info of any Jupyter client, and the kernel's manager.

        Raises
        ------
        NoSuchKernelError
            Names the kernels that there are.
        """
        provider_id, _, kernel = name.partition("/")
        provider = next((provider for provider in self.providers if provider.id == provider_id), None)
        if provider is None or not kernel:
            known = ", ".join(sorted(name for name, _ in self.find_kernels())) or "none"
            raise NoSuchKernelError(f"there is no kernel '{name}'; the kernels are: {known}")
        launched: tuple[Mapping[str, Any], KernelManagerABC] = await provider.launch(
            kernel, cwd=cwd, launch_params=launch_params
        )
        return launched
