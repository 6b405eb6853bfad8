"""Quantities of resources as Kubernetes writes them (API reference, "Quantity"), compared by value."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?")
_FACTORS = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(2) ** (10 * power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def quantity_of(value: object) -> Decimal | None:
    """Return what a quantity such as 500m, 0.5, 512Mi or 4e3 amounts to, None if it is no quantity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    found = _QUANTITY.fullmatch(str(value))
    if found is None:
        return None
    suffix = found["suffix"] or ""
    number = Decimal(found["number"])
    return number * _FACTORS[suffix] if suffix in _FACTORS else number.scaleb(int(suffix[1:]))
