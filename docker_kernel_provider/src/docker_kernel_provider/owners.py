"""Whose the kernels are: by the labels of what was created for them, and by who adopted them since."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from docker_kernel_provider.engine import Engine
from docker_kernel_provider.kept import OWNER, KeptFiles
from docker_kernel_provider.labels import filters_of, resource_of_labels
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.owner import HostIdentity, Owner, OwnerSelector

if TYPE_CHECKING:
    from docker import APIClient

Listing = Callable[["APIClient", list[str]], Mapping[str, Mapping[str, str]]]
"""Gives, for filters by label, the labels of all that was created for kernels, by the kernels' names."""


class Owners:
    """Finds kernels by their owners.

    Labels say who launched a kernel, and cannot be changed. Who adopted it is written beside this user's host identity:
    only hosts that share it can adopt each other's kernels, so nobody else has to know.

    Parameters
    ----------
    lifecycle
        Name of the lifecycle manager.
    engine, identity, kept
        Where the kernels are, whose host this is, and what it keeps of them.
    listing
        See `Listing`.
    """

    def __init__(
        self, lifecycle: str, engine: Engine, identity: HostIdentity, kept: KeptFiles, listing: Listing
    ) -> None:
        self._lifecycle = lifecycle
        self._engine = engine
        self._host_id = identity.host_id
        self._kept = kept
        self._listing = listing

    async def find(self, selector: OwnerSelector) -> list[KernelResource]:
        """List the kernels of some owners; what is kept of kernels that others removed is forgotten."""
        if (await self._engine.location()).is_absent:
            return []
        engine = (await self._engine.facts()).id
        return await self._engine.run(self._find, engine, selector)

    def _find(self, client: APIClient, engine: str, selector: OwnerSelector) -> list[KernelResource]:
        kept = self._kept.names(engine)  # before the listing, in which each of them is then, or it is gone
        labels = self._listing(client, filters_of(self._lifecycle, selector))
        if engine and selector.host_id in (None, self._host_id):
            for name in kept:
                if name not in labels:
                    self._kept.forget(name)
        found = [resource_of_labels(name, written) for name, written in labels.items()]
        owned = [replace(resource, owner=self._owner(engine, resource)) for resource in found if resource is not None]
        return [resource for resource in owned if selector.matches(resource.owner)]

    def _owner(self, engine: str, resource: KernelResource) -> Owner:
        try:
            return Owner(**json.loads(self._kept.read(engine, resource.id, OWNER) or b""))
        except (ValueError, TypeError):
            return resource.owner

    async def note(self, resource: KernelResource, owner: Owner) -> KernelResource:
        """Write down who adopted a kernel; return its handle with it."""
        engine = (await self._engine.facts()).id
        content = json.dumps(asdict(owner)).encode()
        await asyncio.to_thread(self._kept.write, engine, resource.id, OWNER, content)
        return replace(resource, owner=owner)
