"""Checking a client's values against a spec's JSON Schema, and filling in its defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from remote_kernel_provider.errors import ParameterError, SpecError
from remote_kernel_provider.kernelspecs.config_keys import BY_PARAMETER
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.structured_text import parse_structure, refuse_constant

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def schema_defaults(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the defaults that a schema's properties declare."""
    return {
        name: rule["default"]
        for name, rule in properties_of(schema).items()
        if isinstance(rule, Mapping) and "default" in rule
    }


def check_schema(spec: KernelSpec) -> None:
    """Check that a spec's schema is a JSON Schema.

    Raises
    ------
    SpecError
        When it is not.
    """
    # Imported here: listing specs needs no validator, and it is the slowest import of all.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if spec.parameter_schema is None:
        return
    try:
        Draft202012Validator.check_schema(spec.parameter_schema)
    except SchemaError as error:
        raise SpecError(f"{spec.file}: its launch_parameter_schema is not a JSON Schema: {error.message}") from None


def check_values(spec: KernelSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with the types that the schema declares.

    Values that came through the environment are text; they take the declared type of their property.

    Raises
    ------
    ParameterError
        One sentence that names the kernel, the parameter and what the schema wants.
    SpecError
        When the schema itself is broken.
    """
    schema = spec.parameter_schema
    if schema is None:
        return dict(values)
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    check_schema(spec)
    typed = {name: _typed(value, properties_of(schema).get(name)) for name, value in values.items()}
    # An empty registry, as the default one would fetch what a `$ref` names.
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        errors = sorted(validator.iter_errors(typed), key=lambda error: list(map(str, error.path)))
    except Unresolvable as error:
        message = f"its launch_parameter_schema refers to '{error.ref}', which is not in it"
        raise SpecError(f"{spec.file}: {message}") from None
    if errors:
        where = ".".join(str(part) for part in errors[0].path)
        subject = f"parameter '{where}'" if where else "its parameters"
        message = f"kernel '{spec.name}': {subject}: {_short(errors[0].message)}"
        raise ParameterError(message, parameter=_named(errors[0], typed))
    return typed


def schema_with_defaults(spec: KernelSpec, profile: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a spec's schema with the values that a launch would have by default, for a form to show.

    Parameters
    ----------
    spec
        Whose own values fill in where the schema has no default.
    profile
        Values of an operator's profile, which beat the schema's.
    """
    schema = spec.parameter_schema
    if schema is None:
        return None
    properties = dict(properties_of(schema))
    for name, rule in properties.items():
        key = BY_PARAMETER.get(name)
        own = spec.config.get(key.name) if key is not None else None
        default = profile.get(name, own if isinstance(rule, Mapping) and "default" not in rule else None)
        if default is not None and isinstance(rule, Mapping):
            properties[name] = {**rule, "default": _typed(default, rule)}
    return {**schema, "properties": properties}


def properties_of(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the rules of the parameters that a schema names."""
    properties = schema.get("properties", {}) if schema else {}
    return properties if isinstance(properties, Mapping) else {}


def _named(error: ValidationError, values: Mapping[str, Any]) -> str:
    """Return the parameter that a fault is about, one that is missing included."""
    if error.path:
        return str(error.path[0])
    if error.validator == "required" and isinstance(error.validator_value, list):
        return next((name for name in error.validator_value if name not in values), "")
    return ""


def _typed(value: Any, rule: Any) -> Any:
    if not isinstance(value, str) or not isinstance(rule, Mapping):
        return value
    wanted = rule.get("type", "string")
    kinds = {wanted} if isinstance(wanted, str) else set(wanted)
    if "string" in kinds:
        return value
    try:
        if kinds & {"array", "object"}:
            return parse_structure(value)
        return json.loads(value, parse_constant=refuse_constant)
    except ValueError:
        return value  # the validator says what is wrong with it


def _short(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else message[: limit - 1] + "…"
