"""`HostLease`: how a host shows, to hosts on other machines, that it lives: one Lease, while it has kernels."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from kubernetes_kernel_provider.client.api import MERGE_PATCH, ClusterClient
from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.manifests.labels import APP, HOST_ANNOTATION, host_labels
from kubernetes_kernel_provider.names import hashed_label
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.owner import DETACHED, Owner
from remote_kernel_provider.private_loop import end_task

log = logging.getLogger(__name__)

RENEWAL = 600.0
"""Seconds between two renewals."""

DURATION = 1800
"""Seconds after the last renewal in which the host counts as alive."""

RETRY = 15.0
"""Seconds between two attempts to renew where the cluster does not answer, at most: hosts are not in step."""

SEEN_EXPIRED = f"{HOST_ANNOTATION}-seen-expired"
"""Annotation of a lease: when somebody first saw, by the API server's clock, that it had run out."""


@dataclass(frozen=True)
class LeasePlace:
    """Where a lease is.

    Parameters
    ----------
    namespace, name
        In the cluster.
    """

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"{leases_path(self.namespace)}/{self.name}"


def leases_path(namespace: str) -> str:
    """Return the path of a namespace's leases."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def lease_place(namespace: str, owner: Owner) -> LeasePlace:
    """Return where the lease of an owner's host is, in the namespace in which that host has it."""
    return LeasePlace(namespace, hashed_label(f"remote-kernel-host-{owner.instance}", owner.host_id, owner.instance))


class HostLease:
    """The lease of this process; one timer for it, and none while there are no kernels.

    Parameters
    ----------
    client
        Of the cluster.
    locks
        Where this host's locks are seen: who sees them needs no lease.
    namespace
        Gives the namespace of the lease.
    """

    def __init__(self, client: ClusterClient, locks: str, namespace: Callable[[], Awaitable[str]]) -> None:
        self._client = client
        self._locks = locks
        self._namespace = namespace
        self._kernels: set[str] = set()
        self._turn = asyncio.Lock()
        self._held: LeasePlace | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._is_refused = False

    async def written(self, owner: Owner) -> Mapping[str, str]:
        """Return what is written on a kernel, so that others find whether its host lives."""
        if owner.instance == DETACHED:
            return {}
        return {"locks": self._locks, "lease_namespace": await self._namespace()}

    async def hold(self, owner: Owner, generation: str) -> None:
        """Have the lease before a kernel is created or followed.

        Parameters
        ----------
        owner
            Of the kernel.
        generation
            The kernel's.
        """
        if owner.instance == DETACHED:
            return
        self._kernels.add(generation)
        async with self._turn:
            if self._held is None:
                await self._acquire(lease_place(await self._namespace(), owner), owner)

    async def release(self, generation: str) -> None:
        """Note that a kernel is gone; the lease goes with the last one.

        Raises
        ------
        ClusterError
            When it could not be deleted; it is held on.
        """
        self._kernels.discard(generation)
        async with self._turn:
            if self._kernels or self._held is None:
                return
            try:
                await self._client.request("DELETE", self._held.path)
            except ClusterError as error:
                if not error.is_missing:
                    raise
            await self.close()

    async def close(self) -> None:
        """Renew it no longer; where there are kernels, it stays for those who may adopt them."""
        renewing, self._renewing, self._held = self._renewing, None, None
        if renewing is not None:
            await end_task(renewing)

    async def _acquire(self, place: LeasePlace, owner: Owner) -> None:
        try:
            await self._create(place, owner)
        except ClusterError as error:
            if not self._is_refused:
                log.warning(
                    "This host has no lease in the namespace '%s', so hosts on other machines cannot tell whether it "
                    "lives, and sweep its kernels by force alone: %s",
                    place.namespace,
                    error,
                )
            self._is_refused = True
            return
        self._is_refused = False
        self._held = place
        self._renewing = asyncio.get_running_loop().create_task(self._renew(place, owner))

    async def _create(self, place: LeasePlace, owner: Owner) -> None:
        identity = {"host_id": owner.host_id, "instance": owner.instance}
        # Without renewTime: the API server itself writes down when it was created, by its own clock.
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": place.name,
                "namespace": place.namespace,
                "labels": {"app": APP, "component": "host", **host_labels(owner)},
                "annotations": {HOST_ANNOTATION: json.dumps(identity)},
            },
            "spec": {"holderIdentity": self._locks, "leaseDurationSeconds": DURATION},
        }
        try:
            await self._client.request("POST", leases_path(place.namespace), body=document)
        except ClusterError as error:
            if error.code != 409:
                raise
            await self._patch(place)  # of the process that was this host before

    async def _patch(self, place: LeasePlace) -> None:
        now = datetime.fromtimestamp(self._client.server_time, timezone.utc)
        body: dict[str, Any] = {
            "metadata": {"annotations": {SEEN_EXPIRED: None}},
            "spec": {
                "holderIdentity": self._locks,
                "leaseDurationSeconds": DURATION,
                "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        await self._client.request("PATCH", place.path, body=body, content_type=MERGE_PATCH)

    async def _renew(self, place: LeasePlace, owner: Owner) -> None:
        pause, retry = RENEWAL, Backoff(RETRY, RETRY)
        while True:
            await asyncio.sleep(pause)
            pause = RENEWAL
            try:
                await self._patch(place)
            except RemoteKernelError as error:  # a plugin can fail, too: its user has to log in again
                log.info("The lease %s was not renewed: %s", place.name, error)
                if not (isinstance(error, ClusterError) and error.is_missing):
                    pause = retry.seconds()
                    continue
                with suppress(RemoteKernelError):  # somebody deleted it
                    await self._create(place, owner)
