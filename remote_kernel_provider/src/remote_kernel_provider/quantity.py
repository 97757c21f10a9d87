"""Kubernetes quantities: `500m`, `2`, `1.5Gi`, `1e3`.

The grammar is that of Kubernetes' `resource.Quantity`; every backend of ours takes it.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    **{s: Decimal(1000) ** p for p, s in enumerate(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"], -3)},
    **{s: Decimal(1024) ** p for p, s in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], 1)},
}
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(?:([eE][+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


def parse_quantity(text: str) -> Decimal:
    """Return the number that a quantity stands for.

    Raises
    ------
    ValueError
        With the expected form, when it is none.
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError("a quantity such as 500m, 2 or 1.5Gi")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]
