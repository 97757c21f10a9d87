"""Hostile values, the places of a launch that can hold them, and what may come of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pod_launches import KEYS

HOSTILE = [
    # YAML
    "a: b", "a\nhostNetwork: true", "\n- name: x", '"', "'", '"}, hostPID: {"', "# ", " #", "---\nkind: Pod", "...",
    "&a", "*a", "!!python/object:x", "|", ">-", "%YAML 1.1", "? x", "- x", "[]", "{}", "~", "null", "true", "0123",
    "1e9", "2026-01-01", "<<: *a", "",
    # Jinja
    "{{ 7 * 7 }}", "{% include 'x' %}", "{# x #}", "}}", "{{ kernel_id }}", "{{ self }}", "{% raw %}",
    # Shells, and what a cluster expands
    "$(id)", "$(KERNEL_ID)", "$$(KERNEL_ID)", "$HOME", "`id`", "; id", "| id", "&& id", "\\", "x\\ny", "-rf", "--help",
    # JSON
    '{"a": 1}', '[1, 2]', '"a"', "\\u0000", "NaN",
    # Paths, Unicode, control characters, length
    "../../etc", "/", "日本", "🙂", "é" * 300, "\u2028", "\u202e", "\ufeff", "\x85", "\t", "\r\n", "\x1b[31m", "\x7f",
    "x" * 300, "x" * 100_000, " ",
    # What no program and no cluster can be given: refused, never mended
    "a\0b", "\ud800",
]  # fmt: skip
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: x
  annotations:
    quoted: "{{ kernel_note }}"
    within: a-{{ kernel_note }}-b
"""
"""How a template begins that prints what was said as a note."""
NOTES = """\
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: "{{ kernel_pod_name }}-notes"
data:
  note: {{ kernel_note }}
"""
"""How it ends."""
BENIGN = "zqbenignqz"
"""Occurs nowhere else, so every place that a value reaches can be found."""


def _volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}], "volume_mounts": [{"name": "v", "mountPath": "/v"}]}


_SHAPES: Mapping[str, Mapping[str, Callable[[str], Any]]] = {
    "list of names": {"name": lambda value: [value]},
    "object of texts": {"value": lambda value: {"a": value}, "name": lambda value: {value: "a"}},
    "object of quantities": {"value": lambda value: {"acme.org/x": value}, "name": lambda value: {value: 1}},
}
"""By what the table says that a parameter takes: what holds a value, by the place in it."""

_OF_THE_CLUSTER: Mapping[str, Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "volumes": {
        "name": lambda value: {"volumes": [{"name": value, "emptyDir": {}}]},
        "claim": lambda value: _volume(persistentVolumeClaim={"claimName": value}),
        "type": lambda value: _volume(**{value: {}}) if value != "name" else {},
        "size": lambda value: _volume(emptyDir={"sizeLimit": value}),
    },
    "volume_mounts": {
        "name": lambda value: {"volume_mounts": [{"name": value, "mountPath": "/v"}]},
        "path": lambda value: {**_volume(emptyDir={}), "volume_mounts": [{"name": "v", "mountPath": f"/v{value}"}]},
        "path in the volume": lambda value: {
            **_volume(emptyDir={}), "volume_mounts": [{"name": "v", "mountPath": "/v", "subPath": value}]
        },
    },
    "tolerations": {
        "key": lambda value: {"tolerations": [{"key": value}]},
        "field": lambda value: {"tolerations": [{value: "a"}]},
    },
    "affinity": {
        "value": lambda value: {"affinity": _affinity(value)},
        "field": lambda value: {"affinity": {value: {}}},
    },
}  # fmt: skip
"""Lists and objects of the cluster's own: what is asked for with a value in each place that can hold a text."""


def _affinity(value: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "a", "operator": "In", "values": [value]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def places(value: str) -> dict[str, dict[str, Any]]:
    """Return, by a name, what is asked for with a value in each place that can hold a text.

    Made from the table of parameters, so that a new one is among them.
    """
    found: dict[str, dict[str, Any]] = {"any other name": {"note": value}}
    for key in KEYS:
        if not key.parameter:
            continue
        if key.expected != "list of names" or (value and value.replace(",", "").strip() == value):  # else other names
            found[key.parameter] = {key.parameter: value}
        for place, holding in _SHAPES.get(key.expected, {}).items():
            found[f"{key.parameter}, {place}"] = {key.parameter: holding(value)}
        if key.expected in ("list", "object"):  # a KeyError tells you to say where in them a text can stand
            for place, asking in _OF_THE_CLUSTER[key.parameter].items():
                found[f"{key.parameter}, {place}"] = asking(value)
    return found


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, (dict, list)):
        yield path, type(value).__name__
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, value


MADE = {("metadata", "name"), ("metadata", "labels"), ("metadata", "ownerReferences")}
"""Where names are made from values: those have tests of their own (test_names.py)."""


def check_same_but_for(value: str, benign: list[Any], hostile: list[Any]) -> None:
    """Check that two launches differ only where the benign value stands, and there by the hostile one as data."""
    found = dict(leaves(hostile))
    # In a map of the client's own, a value can be a name.
    expected = {tuple(value if step == BENIGN else step for step in path): leaf for path, leaf in leaves(benign)}
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        if found[path] == leaf:
            continue
        if path[1:3] in MADE or path[-2:] == ("secret", "secretName") or path[-1] == "remote-kernel-provider/kernel":
            assert isinstance(found[path], str)
            continue
        assert BENIGN in leaf, path
        in_json = json.dumps(value)[1:-1]
        expanded = [text.replace("$", "$$") for text in (value, in_json)]
        assert found[path] in [leaf.replace(BENIGN, text) for text in (value, in_json, *expanded)], path
        if path[3:4] in (("command",), ("args",)) or (path[-1] == "value" and "env" in path):
            # Each `$` is doubled, so that the cluster sees what was meant.
            assert found[path] in [leaf.replace(BENIGN, text) for text in expanded], path
