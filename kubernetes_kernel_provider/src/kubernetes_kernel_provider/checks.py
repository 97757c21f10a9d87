"""What `doctor` says of a cluster: its version, the route to its pods, and what this host may not do there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.rules import to_add
from kubernetes_kernel_provider.namespaces import makes_namespaces
from kubernetes_kernel_provider.permissions import (
    FOR_HOSTS,
    FOR_KERNELS,
    FOR_NAMESPACES,
    FORWARDING,
    Need,
    Permissions,
)
from kubernetes_kernel_provider.route_check import check_route
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.findings import Finding, note, ok, problem

OLDEST = (1, 27)
"""The first version that says which field of an object it does not know."""

PERMISSIONS = "permissions"


def check_version(version: str) -> list[Finding]:
    """Return what is to be said of an API server's version; nothing where it is new enough."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) >= OLDEST:
        return []
    oldest = ".".join(map(str, OLDEST))
    seen = f"Kubernetes {version} is older than {oldest}, which pods of kernels need"
    return [problem("cluster version", seen, f"update the cluster to {oldest} or later")]


async def check_cluster(
    client: ClusterClient, permissions: Permissions, namespace: str, settings: RemoteKernelSettings
) -> list[Finding]:
    """Look at a cluster's version, at the route to its pods and at what this host may do.

    Parameters
    ----------
    client, permissions
        Of the cluster.
    namespace
        Where kernels run by default.
    settings
        The operator's.
    """
    version, route = await asyncio.gather(
        client.request("GET", "/version"), check_route(client, permissions, namespace, settings)
    )
    allowed = await check_permissions(permissions, namespace, settings, forwards=route.forwards)
    return [*check_version(str(version.get("gitVersion"))), route.finding, *allowed]


async def check_permissions(
    permissions: Permissions, namespace: str, settings: RemoteKernelSettings, *, forwards: bool
) -> list[Finding]:
    """Ask the cluster for everything that a host may need.

    Parameters
    ----------
    permissions
        Of this host.
    namespace
        Where kernels run by default.
    settings
        The operator's.
    forwards
        Whether kernels cannot be reached unless this host may forward ports.
    """
    # A namespace that is made for a kernel comes with its own rights.
    in_namespace = [*([] if makes_namespaces(settings) else FOR_KERNELS), *FOR_HOSTS]
    in_cluster = [] if settings.shared_namespace else FOR_NAMESPACES
    here, everywhere = await asyncio.gather(
        permissions.missing(namespace, in_namespace), permissions.missing("", in_cluster)
    )
    findings = _said(here, namespace, forwards)
    if makes_namespaces(settings):
        findings += _said(everywhere, "", forwards)
    elif everywhere:
        seen = "this host may not make namespaces: clients have to name theirs"
        findings.append(note(PERMISSIONS, seen, to_add([need.rule for need in everywhere], "")))
    if not findings:
        where = f"in the namespace '{namespace}'" + (" and in the cluster" if in_cluster else "")
        return [ok(PERMISSIONS, f"this host may do {where} what it needs")]
    return findings


def _said(missing: Iterable[Need], namespace: str, forwards: bool) -> list[Finding]:
    where = f"in the namespace '{namespace}'" if namespace else "in the cluster"
    findings = []
    for need in missing:
        seen = f"{need.purpose} is not permitted {where}: {', '.join(need.rule.verbs)} of {need.rule.resource}"
        is_needed = need.needed or (forwards and need.rule.resource == FORWARDING.rule.resource)
        finding = problem if is_needed else note
        findings.append(finding(PERMISSIONS, seen, to_add([need.rule], namespace)))
    return findings
