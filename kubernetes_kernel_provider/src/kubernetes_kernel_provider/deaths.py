"""`Deaths`: the proof that the host of a kernel is dead: its lock where that is seen, else its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from kubernetes_kernel_provider.client.api import MERGE_PATCH, ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.leases import DURATION, SEEN_EXPIRED, LeasePlace, lease_place
from kubernetes_kernel_provider.names import is_dns_label
from remote_kernel_provider.owner import ALIVE, DEAD, DETACHED, UNKNOWN, HostIdentity, HostState, Owner

CONFIRMATION = 120.0
"""Seconds between the first look at a lease that has run out and the one that proves a death: a host that was cut off
or asleep renews its lease within a shorter time."""

_UNKNOWN = HostState(UNKNOWN)


class Deaths:
    """Judges whether hosts live.

    Every time is the API server's, as machines' clocks differ.

    Parameters
    ----------
    client
        Of the cluster.
    identity
        This user's host identity, whose locks are seen here.
    """

    def __init__(self, client: ClusterClient, identity: HostIdentity) -> None:
        self._client = client
        self._identity = identity

    async def state(self, owner: Owner, written: Mapping[str, Any]) -> HostState:
        """Say whether an owner's host lives.

        Parameters
        ----------
        owner
            Of a kernel.
        written
            What `HostLease.hold` had written on the kernel.
        """
        state = await asyncio.to_thread(self._identity.state_of, owner)
        # A lock that is held is a proof wherever it is seen; one that is free is none of a host elsewhere.
        if state.word in (ALIVE, DETACHED) or (state.word == DEAD and written.get("locks") == self._identity.place):
            return state
        namespace = str(written.get("lease_namespace", ""))
        if not is_dns_label(namespace):  # it was written on a pod, where others may write, and becomes part of a path
            return _UNKNOWN
        place = lease_place(namespace, owner)
        try:
            lease = await self._client.request("GET", place.path)
        except ClusterError as error:
            if error.code in (403, 404):  # nobody can tell: a host may not be allowed to have one
                return _UNKNOWN
            raise
        return await self.by_lease(lease)

    async def by_lease(self, lease: Document) -> HostState:
        """Say whether the host of a lease lives, by its lease alone.

        Of one that has just run out nobody can tell: the first who sees it notes that on the lease.
        """
        expiry = expires(lease)
        if self._client.server_time <= expiry:
            return HostState(ALIVE)
        seen = _seen_expired(lease)
        if seen is None or seen < expiry:
            await self._note(lease)
            return _UNKNOWN
        return HostState(DEAD, expiry) if self._client.server_time - seen >= CONFIRMATION else _UNKNOWN

    async def _note(self, lease: Document) -> None:
        metadata = lease["metadata"]
        body = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],  # not if it has been renewed meanwhile
                "annotations": {SEEN_EXPIRED: str(self._client.server_time)},
            }
        }
        path = LeasePlace(metadata["namespace"], metadata["name"]).path
        try:
            await self._client.request("PATCH", path, body=body, content_type=MERGE_PATCH)
        except ClusterError as error:
            if error.code not in (403, 404, 409):
                raise


def expires(lease: Document) -> float:
    """Return when a lease runs out, as Unix time of the API server's clock."""
    spec = lease.get("spec") or {}
    renewed = str(spec.get("renewTime") or lease["metadata"]["creationTimestamp"])
    seconds = datetime.strptime(renewed[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    return seconds + float(spec.get("leaseDurationSeconds") or DURATION)


def _seen_expired(lease: Document) -> float | None:
    try:
        return float((lease["metadata"].get("annotations") or {})[SEEN_EXPIRED])
    except (KeyError, ValueError):
        return None
