"""Rules of Roles: what a host has to be granted, as an operator writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes_kernel_provider.names import is_like_own_namespace

_DENIED = re.compile(
    r'cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
KERNELS_RESOURCES = frozenset({"pods", "secrets", "events"})
"""What a host handles in a namespace that is one kernel's: its rights in it come with the namespace."""

_SUBRESOURCE = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods/[^/]+/(?P<subresource>[^/?]+)$")


@dataclass(frozen=True)
class Rule:
    """One rule, about one resource.

    Parameters
    ----------
    resource
        As Roles name it: `pods`, `pods/log`.
    verbs
        What may be done with it.
    group
        Of the API; empty = the core's.
    """

    resource: str
    verbs: tuple[str, ...]
    group: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a Role holds it."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}


def written(rules: Iterable[Rule]) -> str:
    """Return rules as one line of YAML, to be put into a Role as it is."""
    import yaml  # only who lacks a right waits for it

    listed = [rule.to_json() for rule in rules]
    return f"rules: {yaml.safe_dump(listed, default_flow_style=True, width=2**20, sort_keys=False).strip()}"


def to_add(rules: Iterable[Rule], namespace: str) -> str:
    """Return what an operator has to do so that this host has some rights.

    Parameters
    ----------
    rules
        Which it lacks.
    namespace
        Where; empty = in all.
    """
    rules = list(rules)
    return f"add to this host's {_role(rules, namespace)}: {written(rules)}"


def _role(rules: Sequence[Rule], namespace: str) -> str:
    if namespace and not is_like_own_namespace(namespace):
        return f"Role in the namespace '{namespace}'"
    # A Role would go with the namespace, and is not in the next one.
    if namespace and all(rule.resource.partition("/")[0] in KERNELS_RESOURCES for rule in rules):
        return (
            "ClusterRole for its kernels' own namespaces (remote-kernels-host), which a RoleBinding of the namespace's "
            "template gives it there"
        )
    return "ClusterRole"


def remedy_of(message: str) -> str:
    """Return what to do about the API server's words of refusal; empty where it is no question of permissions."""
    denied = _DENIED.search(message)
    if denied is None:
        return ""
    rule = Rule(denied["resource"], (denied["verb"],), denied["group"])
    return to_add([rule], denied["namespace"] or "")


def remedy_of_socket(path: str) -> str:
    """Return what to do when a WebSocket was refused: what it was opened for needs two verbs.

    Parameters
    ----------
    path
        Of the pod's subresource in the API.
    """
    match = _SUBRESOURCE.fullmatch(path)
    if match is None:
        return ""
    return to_add([Rule(f"pods/{match['subresource']}", ("get", "create"))], match["namespace"])
