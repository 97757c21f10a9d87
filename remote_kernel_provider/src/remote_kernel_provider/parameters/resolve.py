"""The one function that merges what everybody says into the parameters of a launch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError, ParameterError, RefusedError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME, BY_PARAMETER, ConfigKey
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, LaunchParameters
from remote_kernel_provider.parameters.policy import authorize, check_kernel, check_policy
from remote_kernel_provider.parameters.schema import check_values, properties_of, schema_defaults

IDENTITY_PARAMETERS = frozenset({"id", "username", "language", "name"})
"""Parameters that say who and which; read by the faces, never merged."""

_OWN_NAMES = {name.upper(): name for name in (*BY_PARAMETER, *IDENTITY_PARAMETERS)}

_BOUNDED_BY = {"namespace": "allowed_namespaces", "service_account_name": "allowed_service_accounts"}
"""Parameters that clients may set where the operator lists values of them, by the setting that does."""

OPERATORS_KEYS = frozenset({"authorized_users", "unauthorized_users", "prohibited_uids", "prohibited_gids"})
"""Keys of a spec that are its operator's policy: nothing below the spec sets them."""


def resolve_parameters(
    provider_id: str, spec: KernelSpec, request: ClientRequest, settings: RemoteKernelSettings
) -> LaunchParameters:
    """Merge defaults < spec < operator's profile < client, check against the schema, authorize, apply policy.

    Has no side effect.

    Raises
    ------
    UnauthorizedError
        When this user may not launch this kernel.
    RefusedError
        When the operator does not allow the kernel, when a value is not the client's to set, or when the operator's
        policy forbids the result.
    ParameterError
        When a value has the wrong type, breaks the schema, or has no effect with this backend.
    """
    kernel_name = f"{provider_id}/{spec.name}"
    authorize(request.identity, spec, settings)
    listed_name = f"{kernel_name}.{request.profile}" if request.profile else kernel_name
    check_kernel(listed_name, request.identity.user, settings)
    asked = _asked(spec, request)
    _check_permission(spec, asked, settings)
    profile = profile_values(kernel_name, request.profile, settings)
    values = {**schema_defaults(spec.parameter_schema), **profile, **asked}
    values = check_values(spec, values)
    config: dict[str, Any] = {
        "launch_timeout": settings.launch_timeout,
        "wait_timeout": settings.wait_timeout,
        "port_range": BY_NAME["port_range"].read(settings.port_range),
        **{name: value for name, value in spec.config.items() if name not in OPERATORS_KEYS},
    }
    data: dict[str, str] = {}
    for name, value in values.items():
        key = BY_PARAMETER.get(name)
        if key is None:
            data[f"KERNEL_{name.upper()}"] = value if isinstance(value, str) else _json(value)
        else:
            config[key.name] = _read(spec, key, name, value)
    check_policy(config, spec, settings)
    working_dir = config.get("working_dir", request.working_dir)
    encryption = _encryption(request.encryption, spec, settings)
    identity = {
        "KERNEL_ID": request.kernel_id,
        "KERNEL_USERNAME": request.identity.user,
        "KERNEL_LANGUAGE": spec.language,
        "KERNEL_NAME": kernel_name,
    }
    return LaunchParameters(
        kernel_id=request.kernel_id,
        kernel_name=kernel_name,
        language=spec.language,
        identity=request.identity,
        config=config,
        environment={**request.environment, **_variables(config), **data, **identity},
        working_dir=working_dir,
        encryption=encryption,
    )


def _asked(spec: KernelSpec, request: ClientRequest) -> dict[str, Any]:
    """Return what the client asks for, by the table's own names.

    All names end as `KERNEL_` and upper case, which launchers and templates read: `UID` must not slip past `uid`.
    """
    names = {name.upper(): name for name in properties_of(spec.parameter_schema)} | _OWN_NAMES
    asked = {names.get(name.upper(), name): value for name, value in request.values.items()}
    for name, value in asked.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ParameterError(
                f"parameter '{name}' of kernel '{spec.name}' is a {type(value).__name__}; expected what JSON can hold",
                parameter=name,
            ) from None
    return {name: value for name, value in asked.items() if name not in IDENTITY_PARAMETERS}


def _check_permission(spec: KernelSpec, asked: Mapping[str, Any], settings: RemoteKernelSettings) -> None:
    schema = spec.parameter_schema
    bounded = {parameter for parameter, allowed in _BOUNDED_BY.items() if getattr(settings, allowed)}
    permitted = {*properties_of(schema), *settings.client_parameters, *bounded}
    for name in asked:
        key = BY_PARAMETER.get(name)
        if key is None or name in permitted or (schema is None and key.free):
            continue
        raise RefusedError(
            f"parameter '{name}' of kernel '{spec.name}' is not yours to set; the operator allows it by naming it in "
            "the spec's launch_parameter_schema or in the setting client_parameters",
            parameter=name,
        )


def profile_values(kernel_name: str, name: str, settings: RemoteKernelSettings) -> Mapping[str, Any]:
    """Return the parameters of an operator's profile of a kernel; without a name, none.

    Raises
    ------
    ParameterError
        When there is no such profile.
    ConfigurationError
        When it sets what is no parameter.
    """
    if not name:
        return {}
    profiles = settings.profiles.get(kernel_name, {})
    if name not in profiles:
        known = f"it has {', '.join(sorted(profiles))}" if profiles else "it has none"
        raise ParameterError(f"kernel '{kernel_name}' has no profile '{name}'; {known}")
    parameters: Mapping[str, Any] = profiles[name].get("parameters", {})
    unknown = [key for key in parameters if key in BY_NAME and key not in BY_PARAMETER]
    if unknown:
        raise ConfigurationError(f"profile '{name}' of '{kernel_name}' sets '{unknown[0]}', which is no parameter")
    return parameters


def _read(spec: KernelSpec, key: ConfigKey, name: str, value: Any) -> Any:
    if spec.lifecycle_manager not in key.backends and _is_ours(spec.lifecycle_manager):
        where = ", ".join(sorted(key.backends))
        raise ParameterError(
            f"parameter '{name}' has no effect on kernel '{spec.name}', which runs on '{spec.lifecycle_manager}' "
            f"(it takes effect on: {where}); leave it out or choose another kernel",
            parameter=name,
        )
    try:
        return key.read(value)
    except ValueError as error:
        message = f"parameter '{name}' of kernel '{spec.name}' is {value!r}; expected {error}"
        raise ParameterError(message, parameter=name) from None


def _is_ours(lifecycle_manager: str) -> bool:
    return lifecycle_manager in BY_NAME["launch_timeout"].backends


def _encryption(face: str, spec: KernelSpec, settings: RemoteKernelSettings) -> str:
    """Merge the policies: what the operator requires or disables stands, then the spec; 'auto' asks the face.

    A face whose clients know no CURVE says `disabled`, unless its client asks.
    """
    try:
        asked = str(BY_NAME["transport_encryption"].read(face or "auto"))
    except ValueError as error:
        raise ParameterError(f"transport_encryption is {face!r}; expected {error}") from None
    for policy in (settings.transport_encryption, spec.config.get("transport_encryption", "auto")):
        if policy == "disabled" and asked == "required":
            raise RefusedError(
                f"transport_encryption 'required' cannot be had for kernel '{spec.name}': the operator or the spec "
                "disabled it; ask for less, or ask the operator"
            )
        if policy != "auto":
            return str(policy)
    return asked


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the merged parameters as the environment names that launchers and templates know."""
    return {
        BY_NAME[name].variable: value if isinstance(value, str) else _json(value)
        for name, value in config.items()
        if name in BY_NAME and BY_NAME[name].variable
    }


def _json(value: Any) -> str:
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
