"""In which namespace and under which service account a kernel runs, within the operator's patterns."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes_kernel_provider.names import dns_label, is_dns_label, own_namespace
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.lifecycle import KernelRequest

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True)
class HostAccount:
    """As whom a host talks to a cluster.

    Parameters
    ----------
    namespace
        Where kernels run when nothing is said: of the host's own pod, or of its kubeconfig context.
    service_account
        Of the host's own pod; empty outside of a cluster.
    """

    namespace: str
    service_account: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a kernel runs.

    Parameters
    ----------
    namespace, service_account
        Names.
    automatic
        Whether the namespace is made for this kernel alone.
    written
        What is written on the kernel, so that others find whether its host lives.
    """

    namespace: str
    service_account: str
    automatic: bool = False
    written: Mapping[str, str] = field(default_factory=dict)


def place(request: KernelRequest, settings: RemoteKernelSettings, host: HostAccount) -> Placement:
    """Return where a kernel runs.

    What the spec says is the operator's word; what differs from it came from a profile or a client. Where namespaces
    are not shared and nobody names one, the kernel has one to itself.

    Raises
    ------
    RefusedError
        When the operator does not allow what was asked; names the setting.
    ParameterError
        When a name is none.
    """
    said, config = request.spec.config, request.parameters.config
    user = request.parameters.identity.user
    namespace = _said(said, config, "namespace")
    if namespace:
        _check(namespace, "namespace", settings.allowed_namespaces, user, settings)
    namespace = namespace or str(said.get("namespace", ""))
    automatic = not (namespace or settings.shared_namespace)
    if automatic:
        namespace = own_namespace(user, request.parameters.kernel_id, request.generation)
    namespace = namespace or settings.namespace or host.namespace
    account = _said(said, config, "service_account_name")
    if account:
        _check(account, "service_account_name", settings.allowed_service_accounts, user, settings)
    account = account or str(said.get("service_account_name", DEFAULT_ACCOUNT))
    if host.service_account and (namespace, account) == (host.namespace, host.service_account):
        raise RefusedError(
            f"service account '{account}' is refused: it is the host's own; choose another",
            parameter="service_account_name",
        )
    return Placement(namespace, account, automatic)


def _said(spec: Mapping[str, Any], config: Mapping[str, Any], key: str) -> str:
    """Return what a client or a profile said; nothing where it is what the spec says."""
    said = config.get(key, "")
    return "" if said == spec.get(key) else str(said)


def _check(name: str, parameter: str, allowed: Sequence[str], user: str, settings: RemoteKernelSettings) -> None:
    setting = "allowed_namespaces" if parameter == "namespace" else "allowed_service_accounts"
    if not is_dns_label(name):
        raise ParameterError(
            f"parameter '{parameter}' is {name[:80]!r}; expected small letters, digits and '-'", parameter=parameter
        )
    if settings.shared_namespace:
        raise RefusedError(
            f"{parameter} '{name}' is refused: all kernels share a namespace (setting shared_namespace); leave it out",
            parameter=parameter,
        )
    # A DNS label holds no character that means something in a pattern.
    patterns = [pattern.replace("{username}", dns_label(user)) for pattern in allowed]
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
        raise RefusedError(
            f"{parameter} '{name}' is refused: {setting} allows {', '.join(patterns) or 'none'}; choose one of these "
            "or ask the operator",
            parameter=parameter,
        )
