"""Parameters that are lists and objects of the cluster's own: checked against its types before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes_kernel_provider.templates.field_types import FieldType
from remote_kernel_provider.errors import ParameterError
from remote_kernel_provider.kernelspecs.config_keys import nearest

_TYPES: Mapping[str, FieldType] = {
    "volumes": FieldType("List[V1Volume]"),
    "volume_mounts": FieldType("List[V1VolumeMount]"),
    "tolerations": FieldType("List[V1Toleration]"),
    "affinity": FieldType("V1Affinity"),
}


def check_structures(config: Mapping[str, Any]) -> None:
    """Check that lists and objects have only fields that the cluster knows, with values of their types.

    Raises
    ------
    ParameterError
        Names the parameter and the field in it.
    """
    for parameter, expected in _TYPES.items():
        if parameter in config:
            _check(config[parameter], expected, parameter, parameter)


def _check(value: Any, expected: FieldType, parameter: str, path: str) -> None:
    if not expected.accepts(value):
        raise ParameterError(f"{path} is {str(value)[:80]!r}; expected {expected.expected}", parameter=parameter)
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, expected.item(), parameter, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if expected.fields and name not in expected.fields:
                hint = nearest(name, expected.fields) or "; leave it out"
                raise ParameterError(f"{path} has {name[:80]!r}, which no cluster knows{hint}", parameter=parameter)
            _check(item, expected.field(name), parameter, f"{path}.{name[:80]}")
