"""Events of Jupyter Server about launches and deaths of kernels of ours, and what they may say.

The schema is `events.yaml` beside this module. Every subscriber of a server sees its events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("events.yaml")

SCHEMA_ID = "https://remote-kernel-provider.dev/events/kernel/v1"

LONGEST = 500
"""Characters of a message."""

_PATH = re.compile(r"""'~?/[^']*'|"~?/[^"]*"|(?<![\w./:~-])~?/[^\s'",;:]+""")


@dataclass(frozen=True)
class KernelEvent:
    """What happened, as the schema says."""

    action: str
    kernel_id: str
    kernel_name: str
    display_name: str
    phase: str
    message: str
    reason: str
    seconds: float = 0.0
    restart: bool = False
    restarting: bool = False


Tell = Callable[[KernelEvent], None]


def no_event(event: KernelEvent) -> None:
    """Tell nobody."""


async def register(server: Any) -> None:
    """Let the server emit our events, if it can."""
    launches = getattr(server.kernel_manager, "launches", None)
    logger = getattr(server, "event_logger", None)
    if launches is None or logger is None:
        return
    _register_schema(logger)

    def tell(event: KernelEvent) -> None:
        try:
            logger.emit(schema_id=SCHEMA_ID, data=asdict(event))
        except Exception:  # handlers and listeners are others' code: no launch depends on who watches it
            server.log.exception("An event of kernel %s was not emitted.", event.kernel_id)

    launches.tell = tell


def _register_schema(logger: Any) -> None:
    import yaml

    schema = yaml.safe_load(SCHEMA_FILE.read_bytes())
    try:
        logger.register_event_schema(schema)
    except Exception:  # noqa: BLE001  # what older versions raise: for them a version is a number
        logger.register_event_schema({**schema, "version": int(schema["version"])})


def public(text: str, hidden: Collection[Any]) -> str:
    """Return a sentence without what is not for everybody: paths, and those words."""
    text = _PATH.sub("…", " ".join(text.split()))
    for word in sorted(_texts(hidden), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "…", text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _texts(values: Any) -> set[str]:
    """Return the texts in a value and in what it holds."""
    if isinstance(values, dict):
        return _texts(list(values.values()))
    if isinstance(values, (list, tuple, set, frozenset)):
        return {text for value in values for text in _texts(value)}
    return {str(values)} - {"", "None", "True", "False"}
