"""`Kernels`: the kernel specs and the kernels of one test, and what is said of them when it fails."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote_kernel_provider.errors import LaunchError, RemoteKernelError
from remote_kernel_provider.host import Host, system_identity
from remote_kernel_provider.launch import ProgressCallback
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.provider import RemoteKernelProvider
from remote_kernel_provider.testing.waiting import run

LOG_TAIL = 50
"""Lines of a kernel's output that are printed with a failed test."""


class Kernels:
    """Writes specs, starts kernels and, at the end of a test, prints and removes them.

    Parameters
    ----------
    provider
        Of the backend.
    folder
        A `kernels` folder on the Jupyter path.
    lifecycle_class
        What the specs name in `metadata.lifecycle_manager`; empty = the provider's default.
    config
        What the backend needs in each spec's `config`.
    """

    def __init__(
        self, provider: RemoteKernelProvider, folder: Path, lifecycle_class: str, config: Mapping[str, Any]
    ) -> None:
        self.provider = provider
        self._folder = folder
        self._lifecycle_class = lifecycle_class or provider.default_lifecycle
        self._config = config
        self._started: list[RemoteKernelManager] = []

    @property
    def host(self) -> Host:
        """The host of the kernels."""
        return self.provider.host

    @property
    def lifecycle(self) -> LifecycleManager:
        """The backend."""
        return self.host.lifecycle(self.provider.default_lifecycle)

    def add_spec(self, name: str, argv: Sequence[str], **fields: Any) -> str:
        """Write a spec file; return its name."""
        stanza = {"class_name": self._lifecycle_class, "config": {**self._config, **fields.pop("config", {})}}
        document = {
            "display_name": name,
            "language": "python",
            "argv": list(argv),
            "interrupt_mode": "message",
            "metadata": {"supported_encryption": ["curve"], "lifecycle_manager": stanza},
            **fields,
        }
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.provider.kernel_file).write_text(json.dumps(document))
        return name

    async def launch(
        self,
        name: str,
        *,
        kernel_id: str = "",
        replaces: RemoteKernelManager | None = None,
        progress: ProgressCallback | None = None,
        **values: Any,
    ) -> RemoteKernelManager:
        """Start a kernel, from any loop.

        Parameters
        ----------
        name
            Of its spec.
        kernel_id
            By default a new one.
        replaces
            The kernel whose keys, and if possible ports, it takes over.
        progress
            See `RemoteKernelProvider.start`.
        **values
            What the client asks for.
        """
        spec, _ = self.provider.find(name)
        request = ClientRequest(kernel_id or str(uuid.uuid4()), system_identity(), values)
        try:
            manager = await self.provider.start(
                spec, request, replaces=replaces.connection if replaces else None, progress=progress
            )
        except LaunchError as error:
            print(f"kernel '{name}': {error}\n  {error.status}\n{error.log_tail}")
            raise
        self._started.append(manager)
        return manager

    def start(self, name: str, **values: Any) -> RemoteKernelManager:
        """Start a kernel, from blocking code; see `launch`."""
        return run(self.launch(name, **values))

    def find(self) -> list[KernelResource]:
        """List what the backend has of this test's owners."""
        return run(self.lifecycle.find(OwnerSelector(host_id=self.host.identity.host_id)))

    def close(self) -> None:
        """Print what is known of the kernels, and remove them."""
        for manager in self._started:
            run(self._print(manager))
        for manager in self._started:
            run(manager.kill())
        for resource in self.find():
            run(self.lifecycle.delete(resource, 0))

    async def _print(self, manager: RemoteKernelManager) -> None:
        print(f"kernel {manager.kernel_id} ({manager.resource.kernel_name}): {manager.status}")
        try:
            print(await manager.logs(LOG_TAIL))
        except RemoteKernelError as error:
            print(f"  it has no logs: {error}")
