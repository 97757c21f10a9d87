"""Lists and objects that somebody wrote as text: JSON, or YAML as in a pod's manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

MOST_BRACKETS = 1000
"""Brackets of a YAML text: what a parser needs for them grows with their square. JSON can have any number."""
MOST_LEVELS = 100
"""Lists and objects within each other, far more than any manifest has; how many a parser bears is its version's."""

_TOO_DEEP = "it is nested too deep"


def parse_structure(text: str) -> Any:
    """Read JSON, or YAML that says nothing that JSON could not.

    Raises
    ------
    ValueError
        When it is neither.
    """
    try:
        structure = json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        structure = _parse_yaml(text)
    level = [structure]
    for _ in range(MOST_LEVELS):
        level = [item for each in level for item in _items(each)]
    if level:
        raise ValueError(_TOO_DEEP)
    return structure


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def refuse_constant(word: str) -> None:
    """Refuse `NaN` and its like, for `json.loads`: they are no JSON, and no maximum stops them."""
    raise ValueError(word)


def _parse_yaml(text: str) -> Any:
    # Imported here: whoever speaks JSON, or says nothing at all, need not wait for it.
    import yaml

    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise ValueError("it has too many brackets; write it as JSON")
    try:
        # Of aliases, a short text makes a document without end.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("it has an alias; write it out")
        return json.loads(json.dumps(yaml.safe_load(text), allow_nan=False))
    except (yaml.YAMLError, TypeError, RecursionError):
        raise ValueError("it is neither JSON nor YAML") from None
