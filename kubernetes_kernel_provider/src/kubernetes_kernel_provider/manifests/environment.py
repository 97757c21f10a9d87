"""The environment and the command of a kernel's container, as data that the cluster does not interpret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from remote_kernel_provider.errors import ParameterError

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_LONGEST = 128 * 1024 - 1
"""Bytes of the longest word or `NAME=value` that Linux gives to a program."""


def literal(text: str) -> str:
    """Return a text as a pod has to say it: the cluster takes `$(NAME)` for a reference and `$$` for one `$`."""
    return text.replace("$", "$$")


def set_environment(container: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Give a container an environment; what its template says under the same names is replaced.

    Raises
    ------
    ParameterError
        When no pod can have a name or a value.
    """
    for name, value in environment.items():
        _check(name, value)
    entries = [entry for entry in container.get("env", []) if entry.get("name") not in environment]
    container["env"] = entries + [{"name": name, "value": literal(value)} for name, value in environment.items()]


def set_command(container: dict[str, Any], command: Iterable[str]) -> None:
    """Give a container a command.

    Raises
    ------
    ParameterError
        When no pod can have it.
    """
    words = list(command)
    for word in words:
        _check_text(word, f"the kernel's command has a word '{word[:40]}' that")
    container["command"] = [literal(word) for word in words]
    container.pop("args", None)


def _check(name: str, value: str) -> None:
    parameter = name[7:].lower() if name.startswith("KERNEL_") else ""
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"the environment name {name[:80]!r} cannot be had in a pod; use letters, digits, '-', '.' and '_'",
            parameter=parameter,
        )
    _check_text(f"{name}={value}", f"the value of {name} is one that", parameter)


def _check_text(text: str, subject: str, parameter: str = "") -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ParameterError(f"{subject} is no Unicode text; mend it", parameter=parameter) from None
    if "\0" in text:
        raise ParameterError(f"{subject} holds a NUL, which no program can be given; mend it", parameter=parameter)
    if size > _LONGEST:
        raise ParameterError(
            f"{subject} has {size} bytes; no program can be given more than {_LONGEST}; use a file",
            parameter=parameter,
        )
