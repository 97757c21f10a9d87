"""The values with which each user launched each kernel last, for the form to show again.

A private file for each user, never a notebook: those are passed on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote_kernel_provider.files import make_private_folder, parse_json, write_private
from remote_kernel_provider.parameters.schema import properties_of

MOST = 50
"""Kernels of one user whose values are remembered; the one that was used longest ago goes first."""


class RememberedValues:
    """The values of all users of one host.

    Parameters
    ----------
    folder
        Made with mode 0700 when something is to be remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, user: str, kernel: str) -> dict[str, Any]:
        """Return the last values, or none; blocks."""
        return self._read(user).get(kernel, {})

    def remember(self, user: str, kernel: str, values: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
        """Remember values, but those that their schema calls secret; blocks.

        Raises
        ------
        OSError
            When they cannot be written.
        """
        known = self._read(user)
        known.pop(kernel, None)
        rules = properties_of(schema)
        known[kernel] = {name: value for name, value in values.items() if not _is_secret(rules.get(name))}
        self._write(user, dict(list(known.items())[-MOST:]))

    def forget(self, user: str, kernel: str) -> None:
        """Forget the values; blocks.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        known = self._read(user)
        if known.pop(kernel, None) is not None:
            self._write(user, known)

    def _read(self, user: str) -> dict[str, dict[str, Any]]:
        try:
            document = parse_json(self._file(user).read_bytes())
        except (OSError, ValueError):
            return {}  # there is none, or it is damaged: a form without its last values beats no form
        if not isinstance(document, dict):
            return {}
        return {kernel: values for kernel, values in document.items() if isinstance(values, dict)}

    def _write(self, user: str, known: Mapping[str, Any]) -> None:
        make_private_folder(self._folder)
        write_private(self._file(user), json.dumps(known).encode())

    def _file(self, user: str) -> Path:
        # A hash, as names of users can hold anything.
        return self._folder / f"{hashlib.sha256(user.encode()).hexdigest()[:32]}.json"


def _is_secret(rule: Any) -> bool:
    return isinstance(rule, Mapping) and (rule.get("writeOnly") is True or rule.get("format") == "password")
