"""What type a field of a Kubernetes object takes, as the official client declares it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from remote_kernel_provider.quantity import parse_quantity

_SCALARS = {
    "str": "a text", "datetime": "a text", "int": "an integer", "float": "a number", "bool": "true or false",
    "quantity": "a quantity such as 500m, 2 or 1.5Gi",
}  # fmt: skip
_KINDS: Mapping[str, Any] = {
    "a list": list, "an object": dict, "a text": str, "an integer": int, "a number": (int, float),
    "true or false": bool,
}  # fmt: skip
_OF_OTHERS = "Object"
"""Of a kind that the client does not know, as custom resources are: only what all objects have is declared."""
_QUANTITIES = {
    ("V1ResourceRequirements", "limits"), ("V1ResourceRequirements", "requests"), ("V1PodSpec", "overhead"),
    ("V1VolumeResourceRequirements", "limits"), ("V1VolumeResourceRequirements", "requests"),
    ("V1EmptyDirVolumeSource", "sizeLimit"), ("V1ResourceFieldSelector", "divisor"), ("V1ResourceQuotaSpec", "hard"),
}  # fmt: skip
"""Fields that the client declares as texts; the cluster takes numbers, too, and says not where it finds a wrong one."""
_EXPANDED = {("V1EnvVar", "value"), ("V1Container", "command"), ("V1Container", "args")}


@dataclass(frozen=True)
class FieldType:
    """The type of a field.

    Parameters
    ----------
    name
        As the client writes it: `int`, `List[V1Container]`, or `quantity`; empty where it is not known, as in custom
        resources.
    expanded
        Whether the cluster replaces `$(NAME)` in its text.
    """

    name: str = ""
    expanded: bool = False

    @property
    def expected(self) -> str:
        """What it takes, in words; empty where nothing is known."""
        if self.is_list:
            return "a list"
        if self.name.startswith("Dict[") or _fields(self.name):
            return "an object"
        return _SCALARS.get(self.name, "")

    @property
    def fields(self) -> Collection[str]:
        """The names that its fields can have; empty where any can."""
        return _fields(self.name).keys()

    @property
    def is_text(self) -> bool:
        """Whether it takes a text."""
        return self.expected == "a text"

    @property
    def is_quantity(self) -> bool:
        """Whether it takes a quantity: a number, or a text that says one."""
        return self.name == "quantity"

    @property
    def is_list(self) -> bool:
        """Whether it takes a list."""
        return self.name.startswith("List[")

    def accepts(self, value: Any) -> bool:
        """Whether a value is of this type; what is in a list or an object is another question."""
        if value is None or not self.expected:
            return True
        if self.is_quantity:
            return _is_quantity(value)
        kinds = _KINDS[self.expected]
        return isinstance(value, kinds) and (not isinstance(value, bool) or kinds is bool)

    def fitted(self, value: Any) -> Any:
        """Return a value as one of this type, where it says the same: "1000" is the integer 1000.

        Raises
        ------
        ValueError
            With what is expected.
        """
        if self.accepts(value):
            return str(value) if self.is_quantity and value is not None else value
        fitting: Any = None
        if self.is_text and not isinstance(value, (list, dict)):
            fitting = json.dumps(value)
        elif self.expected == "true or false" and isinstance(value, str):
            fitting = {"true": True, "false": False}.get(value.lower())
        elif self.expected == "an integer" and isinstance(value, float) and value.is_integer():
            fitting = int(value)
        elif self.expected in ("an integer", "a number") and isinstance(value, str):
            fitting = int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None
        if fitting is None:
            raise ValueError(self.expected)
        return fitting

    def field(self, key: str) -> FieldType:
        """Return the type of one of its fields."""
        if self.name.startswith("Dict["):
            return FieldType(self.name[len("Dict[str, ") : -1])
        declared = _fields(self.name).get(key, "")
        if (self.name, key) in _QUANTITIES:
            declared = declared.replace("str]", "quantity]") if declared != "str" else "quantity"
        return FieldType(declared, (self.name, key) in _EXPANDED)

    def item(self) -> FieldType:
        """Return the type of its items."""
        return FieldType(self.name[len("List[") : -1] if self.is_list else "", self.expanded)


def _is_quantity(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    try:
        parse_quantity(str(value))
    except ValueError:
        return False
    return True


def type_of(api_version: str, kind: str) -> FieldType:
    """Return the type of a whole object."""
    group, _, version = api_version.rpartition("/")
    is_built_in = "." not in group or group.endswith(".k8s.io")
    name = version[:1].upper() + version[1:] + kind
    return FieldType(name if is_built_in and _fields(name) else _OF_OTHERS)


@cache
def _fields(model: str) -> dict[str, str]:
    """Return the fields of a model of the client's, by their names in a manifest."""
    if model == _OF_OTHERS:
        return {"apiVersion": "str", "kind": "str", "metadata": "V1ObjectMeta"}
    if not re.fullmatch(r"[A-Z]\w+", model):
        return {}
    # Imported here: the client takes a second, and who installs a spec needs none of it.
    from kubernetes.aio import client

    found: Any = getattr(client, model, None)
    types = getattr(found, "openapi_types", None)
    return {} if types is None else {found.attribute_map[name]: kind for name, kind in types.items()}
