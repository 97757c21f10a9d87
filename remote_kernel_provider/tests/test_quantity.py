"""Kubernetes quantities."""

from decimal import Decimal

import pytest

from remote_kernel_provider.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"), ("2", "2"), ("1.5", "1.5"), (".5", "0.5"), ("1.", "1"),
        ("100n", "1e-7"), ("5u", "5e-6"), ("500m", "0.5"), ("2k", "2000"), ("1M", "1e6"), ("1G", "1e9"), ("1T", "1e12"),
        ("1P", "1e15"), ("1E", "1e18"), ("1e3", "1000"), ("1E3", "1000"), ("12e-1", "1.2"), ("1e+2", "100"),
        ("1Ki", "1024"), ("1Mi", str(2**20)), ("1.5Gi", str(3 * 2**29)), ("1Ti", str(2**40)), ("1Pi", str(2**50)),
        ("1Ei", str(2**60)),
    ],
)  # fmt: skip
def test_the_grammar(text, expected):
    assert parse_quantity(text) == Decimal(expected)


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "-1", "+1", "1 Gi", " 1", "1\n", "1gi", "1K", "1ki", "Gi", "1e", "1e1000", "1Gi5", "0x10", "1_0",
     "\u0663", "nan", "inf", "1" * 19, "1e3Gi"],
)  # fmt: skip
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"a quantity such as 500m, 2 or 1\.5Gi"):
        parse_quantity(text)
