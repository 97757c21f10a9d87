"""What a host has to be allowed in a cluster: the one table of it, and asking the cluster for what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.rules import Rule, to_add

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Need:
    """What is needed, and what for.

    Parameters
    ----------
    rule
        To be granted.
    purpose
        What cannot be done without it.
    needed
        Whether no kernel can run without it.
    """

    rule: Rule
    purpose: str
    needed: bool = True


FORWARDING = Need(Rule("pods/portforward", ("get", "create")), "reaching kernels through the API server", False)

FOR_KERNELS: tuple[Need, ...] = (
    Need(Rule("pods", ("create", "delete", "get", "list", "patch", "watch")), "running kernels"),
    Need(Rule("secrets", ("create", "delete", "get")), "giving kernels their keys"),
    Need(Rule("pods/log", ("get",)), "showing what a kernel printed", False),
    Need(Rule("events", ("list", "watch")), "telling why a start is slow", False),
    FORWARDING,
    Need(Rule("pods/exec", ("get", "create")), "interrupting kernels by signal", False),
)
"""In each namespace where kernels run."""

FOR_HOSTS: tuple[Need, ...] = (
    Need(
        Rule("leases", ("create", "delete", "get", "list", "patch"), "coordination.k8s.io"),
        "showing hosts on other machines that this one lives",
        False,
    ),
)
"""In the host's own namespace."""

FOR_NAMESPACES: tuple[Need, ...] = (
    Need(Rule("namespaces", ("create", "delete", "get", "list")), "a namespace for each kernel"),
)
"""In the whole cluster, where each kernel has a namespace of its own."""


class Permissions:
    """Asks the cluster what this host may do; what it once granted is not asked again.

    Parameters
    ----------
    client
        Of the cluster.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._granted: set[tuple[str, Rule]] = set()

    async def require(self, namespace: str, needs: Iterable[Need]) -> None:
        """Do nothing where this host may do all of it.

        Parameters
        ----------
        namespace
            Where; empty = in the whole cluster.
        needs
            What.

        Raises
        ------
        ClusterError
            Holds the rules to add.
        """
        missing = await self.missing(namespace, needs)
        if missing:
            purposes = ", ".join(need.purpose for need in missing)
            rules = [need.rule for need in missing]
            raise ClusterError(
                f"this host lacks the permission for {purposes}; {to_add(rules, namespace)}", 403, "Forbidden"
            )

    async def missing(self, namespace: str, needs: Iterable[Need]) -> list[Need]:
        """Return the needs that are not met, each with the verbs alone that are missing."""
        asked = [need for need in needs if (namespace, need.rule) not in self._granted]
        found = await asyncio.gather(*(self._denied(namespace, need.rule) for need in asked))
        denied = [(need, verbs) for need, verbs in zip(asked, found, strict=True)]
        self._granted |= {(namespace, need.rule) for need, verbs in denied if not verbs}
        return [replace(need, rule=replace(need.rule, verbs=verbs)) for need, verbs in denied if verbs]

    async def _denied(self, namespace: str, rule: Rule) -> tuple[str, ...]:
        allowed = await asyncio.gather(*(self._allows(namespace, rule, verb) for verb in rule.verbs))
        return tuple(verb for verb, allows in zip(rule.verbs, allowed, strict=True) if not allows)

    async def _allows(self, namespace: str, rule: Rule, verb: str) -> bool:
        resource, _, subresource = rule.resource.partition("/")
        asked = {"verb": verb, "group": rule.group, "resource": resource, "subresource": subresource}
        if namespace:
            asked["namespace"] = namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = await self._client.request("POST", REVIEWS, body=review)
        return bool((answer.get("status") or {}).get("allowed"))
