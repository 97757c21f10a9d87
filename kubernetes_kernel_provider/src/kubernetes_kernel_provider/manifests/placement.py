"""In which namespace and under which service account a kernel runs, within the operator's patterns."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes_kernel_provider.names import dns_label, is_dns_label
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.parameters.launch_parameters import LaunchParameters

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
    """

    namespace: str
    service_account: str


def place(
    spec: KernelSpec, parameters: LaunchParameters, settings: RemoteKernelSettings, host: HostAccount
) -> Placement:
    """Return where a kernel runs.

    What the spec says is the operator's word; what differs from it came from a profile or a client.

    Raises
    ------
    RefusedError
        When the operator does not allow what was asked; names the setting.
    ParameterError
        When a name is none, or no namespace is named where each kernel's client has to.
    """
    config, user = parameters.config, dns_label(parameters.identity.user)
    namespace = _said(spec, config, "namespace")
    if namespace:
        _check(namespace, "namespace", settings.allowed_namespaces, user, settings)
    elif not settings.shared_namespace and "namespace" not in spec.config:
        raise ParameterError(
            "no namespace is named for the kernel, and shared_namespace is false; give it by the parameter namespace",
            parameter="namespace",
        )
    namespace = namespace or str(spec.config.get("namespace") or settings.namespace or host.namespace)
    account = _said(spec, config, "service_account_name")
    if account:
        _check(account, "service_account_name", settings.allowed_service_accounts, user, settings)
    account = account or str(spec.config.get("service_account_name", DEFAULT_ACCOUNT))
    if host.service_account and (namespace, account) == (host.namespace, host.service_account):
        raise RefusedError(
            f"service account '{account}' is refused: it is the host's own; choose another",
            parameter="service_account_name",
        )
    return Placement(namespace, account)


def _said(spec: KernelSpec, config: Mapping[str, Any], key: str) -> str:
    """Return what a client or a profile said; nothing where it is what the spec says."""
    said = config.get(key, "")
    return "" if said == spec.config.get(key) else str(said)


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
    patterns = [pattern.replace("{username}", user) for pattern in allowed]
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
        raise RefusedError(
            f"{parameter} '{name}' is refused: {setting} allows {', '.join(patterns) or 'none'}; choose one of these "
            "or ask the operator",
            parameter=parameter,
        )
