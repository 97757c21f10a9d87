"""What the operator allows: checked last, on the merged result, and never set by anybody below the operator."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError, RefusedError, UnauthorizedError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME, BY_PARAMETER, ConfigKey, nearest
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.parameters.launch_parameters import Identity
from remote_kernel_provider.quantity import parse_quantity

CLAIMED_AND_REFUSED = ("root",)
"""Users that a client may not claim to be, unless the operator sets a list of his own."""


def authorize(identity: Identity, spec: KernelSpec, settings: RemoteKernelSettings) -> None:
    """Check that a user may launch a kernel.

    Raises
    ------
    UnauthorizedError
        When the spec's or the operator's lists say no. A list of the unauthorized beats a list of the authorized.
    """
    lists: list[Collection[str] | None] = [settings.unauthorized_users, spec.config.get("unauthorized_users")]
    refused = {user for names in lists for user in names or ()}
    if identity.source == "claimed" and all(names is None for names in lists):
        refused.update(CLAIMED_AND_REFUSED)
    if identity.user in refused:
        raise UnauthorizedError(
            f"user '{identity.user}' may not launch kernel '{spec.name}': named in unauthorized_users; ask the operator"
        )
    for allowed in (spec.config.get("authorized_users", ()), settings.authorized_users):
        if allowed and identity.user not in allowed:
            raise UnauthorizedError(
                f"user '{identity.user}' may not launch kernel '{spec.name}': not named in authorized_users; "
                "ask the operator"
            )


def open_to_all(spec: KernelSpec) -> KernelSpec:
    """Return a spec without its lists of users, for a preview: who installs a kernel need not be who may launch it."""
    config = {name: value for name, value in spec.config.items() if not name.endswith("authorized_users")}
    return replace(spec, config=config)


def allows_kernel(kernel: str, user: str, settings: RemoteKernelSettings) -> bool:
    """Return whether the operator allows a kernel, `provider/name` or `provider/name.profile`, to a user."""
    return any(fnmatch.fnmatchcase(kernel, pattern) for pattern in _allowed(user, settings))


def check_kernel(kernel: str, user: str, settings: RemoteKernelSettings) -> None:
    """Check that the operator allows a kernel to a user.

    Raises
    ------
    RefusedError
        Names the setting, and what is allowed.
    """
    if not allows_kernel(kernel, user, settings):
        setting = "allowed_kernels_by_user" if user in settings.allowed_kernels_by_user else "allowed_kernels"
        allowed = ", ".join(_allowed(user, settings)) or "none"
        raise RefusedError(
            f"kernel '{kernel}' is refused to user '{user}': {setting} allows {allowed}; "
            "choose another kernel or ask the operator"
        )


def _allowed(user: str, settings: RemoteKernelSettings) -> list[str]:
    patterns: list[str] = settings.allowed_kernels_by_user.get(user, settings.allowed_kernels)
    return patterns


def check_policy(config: Mapping[str, Any], spec: KernelSpec, settings: RemoteKernelSettings) -> None:
    """Check merged values against prohibited ids, maxima and allowed values.

    Raises
    ------
    RefusedError
        Names the parameter, its value and the setting that forbids it.
    ConfigurationError
        When a setting names an unknown parameter or has a wrong value.
    """
    prohibitions = (("uid", "prohibited_uids"), ("gid", "prohibited_gids"), ("fs_group", "prohibited_gids"))
    for name, setting in prohibitions:
        # What the spec prohibits adds to what the operator prohibits.
        prohibited = {*getattr(settings, setting), *spec.config.get(setting, ())}
        if config.get(name) in prohibited:
            message = f"{name} {config[name]} is refused: it is one of {setting}; choose another {name}"
            raise RefusedError(message, parameter=name)
    for name, maximum in settings.maxima.items():
        key = _key(name, "maxima")
        if key.name in config and _maximum(key, maximum) < _number(key, config[key.name]):
            raise RefusedError(
                f"{name} {_written(config[key.name])} is refused: the operator's maximum is {maximum}; ask for less",
                parameter=key.parameter,
            )
    for name, patterns in settings.allowed_values.items():
        key = _key(name, "allowed_values")
        value = str(config.get(key.name, ""))
        if value and not any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns):
            raise RefusedError(
                f"{name} '{value}' is refused: the operator allows {', '.join(patterns)}; choose one of these",
                parameter=key.parameter,
            )


def _key(name: str, setting: str) -> ConfigKey:
    key = BY_NAME.get(name) or BY_PARAMETER.get(name)
    if key is None:
        hint = nearest(name, {**BY_NAME, **BY_PARAMETER})
        raise ConfigurationError(f"the setting {setting} names the unknown parameter '{name}'{hint}")
    return key


def _number(key: ConfigKey, value: Any) -> Decimal:
    return parse_quantity(value) if key.expected == "quantity" else Decimal(str(value))


def _written(value: object) -> object:
    """Return a value as people write it: 100, where seconds are kept as 100.0."""
    return f"{value:g}" if isinstance(value, float) else value


def _maximum(key: ConfigKey, value: Any) -> Decimal:
    try:
        return _number(key, key.read(value))
    except (ValueError, ArithmeticError):
        raise ConfigurationError(f"the setting maxima has {key.name}={value!r}; expected {key.expected}") from None
