from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.quantities import count, cpu, memory

FACTORS = {"m": Decimal("0.001"), "": Decimal(1), "k": Decimal(1000), "M": Decimal(10**6), "G": Decimal(10**9)}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (cpu(500), "500m"),
        (cpu(1000), "1"),
        (cpu(1500), "1500m"),
        (cpu(1_000_000), "1k"),
        (cpu(0), "0"),
        (count(8), "8"),
        (count(0), "0"),
        (count(10_000), "10k"),
        (memory(512), "512Mi"),
        (memory(1024), "1Gi"),
        (memory(1536), "1536Mi"),
        (memory(1024 * 1024), "1Ti"),
    ],
)
def test_an_amount_is_written_as_the_api_server_returns_it(written: str, expected: str) -> None:
    """The largest suffix that loses nothing, so that what runs equals what is declared, letter by letter."""
    assert written == expected


@given(millicores=st.integers(1, 10**9))
def test_no_amount_is_lost(millicores: int) -> None:
    """Read back, a quantity is the amount that was declared, and has no suffix that a larger one could replace."""
    text = cpu(millicores)
    number, suffix = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    assert Decimal(number) * FACTORS[suffix] == Decimal(millicores) / 1000
    assert int(number) % 1000 or suffix == "G"
