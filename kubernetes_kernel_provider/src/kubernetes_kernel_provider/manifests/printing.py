"""Objects as a person reads them: YAML, with the content of Secrets masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"


def to_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as one YAML text, without what Secrets hold."""
    import yaml  # only who prints objects waits for it

    return yaml.safe_dump_all(map(masked, objects), sort_keys=False, allow_unicode=True, width=120)


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what it hides, if it is a Secret."""
    if document.get("kind") != "Secret":
        return dict(document)
    hidden = {
        part: dict.fromkeys(document[part], MASK) for part in ("data", "stringData") if document.get(part) is not None
    }
    return {**document, **hidden}
