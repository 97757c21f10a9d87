"""What `doctor` says of the route to kernels: which it is, why, and what it takes; no kernel is launched for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document, Query
from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.manifests.labels import APP
from kubernetes_kernel_provider.namespaces import makes_namespaces
from kubernetes_kernel_provider.own_address import own_address
from kubernetes_kernel_provider.permissions import FORWARDING, Permissions
from kubernetes_kernel_provider.routes import DIRECT, PORT_FORWARD, PROBE_TIMEOUT, answers
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.findings import Finding, note, ok, problem

SUBJECT = "route"
TRIED = 5
"""How many pods are tried, at most."""
ANY_PORT = 53
"""A pod that can be reached answers at any port, if only that nobody listens there; this one is the DNS pods' own."""

_DNS = (namespaced("pods", "kube-system"), "k8s-app=kube-dns")


@dataclass(frozen=True)
class ExpectedRoute:
    """How kernels will be reached.

    Parameters
    ----------
    finding
        For a person.
    forwards
        Whether no kernel can be reached unless this host may forward ports.
    """

    finding: Finding
    forwards: bool


async def check_route(
    client: ClusterClient, permissions: Permissions, namespace: str, settings: RemoteKernelSettings
) -> ExpectedRoute:
    """Try pods that run already, and are kernels or the cluster's own.

    Parameters
    ----------
    client, permissions
        Of the cluster.
    namespace
        Where kernels run by default.
    settings
        The operator's.
    """
    wanted = settings.kubernetes_route
    missing = [] if makes_namespaces(settings) else await permissions.missing(namespace, [FORWARDING])
    forwarding = f"by port-forward through the API server, which is{' not' if missing else ''} permitted"
    forwarded = note if missing else ok
    if wanted == PORT_FORWARD:
        return ExpectedRoute(forwarded(SUBJECT, f"{forwarding}: kubernetes_route is '{wanted}'"), True)
    pods = await _pods(client, namespace)
    tried = await asyncio.gather(*(answers(pod["status"]["podIP"], ANY_PORT, PROBE_TIMEOUT) for pod in pods))
    reached = next((pod for pod, answered in zip(pods, tried, strict=True) if answered), None)
    if wanted == DIRECT:
        return ExpectedRoute(_direct(pods, reached), False)
    if reached is not None:
        return ExpectedRoute(ok(SUBJECT, f"directly, at the pods' addresses: {_named(reached)} answered"), False)
    if pods:
        names = ", ".join(map(_named, pods))
        seen = f"{forwarding}: of the pods that run already, none answered within {PROBE_TIMEOUT:g} s ({names})"
        return ExpectedRoute(forwarded(SUBJECT, seen), True)
    first = f"directly, if the first kernel's pod answers at its address within {PROBE_TIMEOUT:g} s"
    return ExpectedRoute(note(SUBJECT, f"{first}, else {forwarding}; this host sees no pod to try"), False)


def _direct(pods: list[Document], reached: Document | None) -> Finding:
    why = f"directly, at the pods' addresses: kubernetes_route is '{DIRECT}'"
    if reached is not None or not pods:
        return ok(SUBJECT, why)
    seen = f"{why}, but {', '.join(map(_named, pods))} did not answer within {PROBE_TIMEOUT:g} s"
    return problem(SUBJECT, seen, "leave kubernetes_route out, or run this host where it reaches pods")


async def _pods(client: ClusterClient, namespace: str) -> list[Document]:
    """Return some pods that run: kernels, else those of the cluster's DNS, which every pod talks to."""
    here = ""
    with suppress(LaunchError):  # a host without an address is in no pod
        here = await own_address((await client.configuration()).client.host)
    for path, label in ((namespaced("pods", namespace), f"app={APP}"), _DNS):
        query: Query = {"labelSelector": label, "fieldSelector": "status.phase=Running", "limit": TRIED}
        try:
            answer = await client.request("GET", path, query=query)
        except ClusterError as error:
            if error.is_refusal:
                continue
            raise
        pods = [pod for pod in answer["items"] if _has_own_address(pod) and pod["status"]["podIP"] != here]
        if pods:
            return pods
    return []


def _has_own_address(pod: Mapping[str, Any]) -> bool:
    address = str(pod["status"].get("podIP") or "")
    # Kernels listen on IPv4 alone. That a node is reached says nothing of pods.
    return bool(address) and ":" not in address and not pod["spec"].get("hostNetwork")


def _named(pod: Mapping[str, Any]) -> str:
    return f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} at {pod['status']['podIP']}"
