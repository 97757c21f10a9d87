"""Which entries of a host's environment a kernel may see, and what a client meant to pass."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from string import Template
from typing import TypeVar

T = TypeVar("T")

PARAMETER_PREFIX = "KERNEL_"
"""How the environment's names of parameters begin."""

SECRETS_OF_JUPYTER = ("JUPYTERHUB_*", "JPY_*", "JUPYTER_TOKEN")
"""Shell patterns of the names that no kernel inherits."""

NOT_INHERITED = ("PYTHONEXECUTABLE",)
"""Names that would make another Python misbehave (`jupyter_client` leaves it out too)."""


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a local kernel inherits: all but Jupyter's secrets."""
    patterns = (*SECRETS_OF_JUPYTER, *NOT_INHERITED)
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def with_references(entries: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Fill in `$NAME` and `${NAME}` in a spec's `env` from the environment it is added to, as stock Jupyter does."""
    return {name: Template(value).safe_substitute(environment) for name, value in entries.items()}


class PassedEnvironment(dict[str, str]):
    """Entries that a client passes on purpose, every one of them, whatever the process's own environment holds."""


def passed_by_client(passed: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return what a client of `jupyter_client` passed on purpose.

    Callers copy the process's whole environment and change some entries: those that differ are the client's word.
    """
    if isinstance(passed, PassedEnvironment):
        return dict(passed)
    return {name: value for name, value in passed.items() if own.get(name) != value}


def split_parameters(entries: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Separate `KERNEL_*` entries, as parameters by their lower-case names, from the others."""
    values: dict[str, T] = {}
    others: dict[str, T] = {}
    for name, value in entries.items():
        parameter = name.removeprefix(PARAMETER_PREFIX)
        if parameter in ("", name):
            others[name] = value
        else:
            values[parameter.lower()] = value
    return values, others
