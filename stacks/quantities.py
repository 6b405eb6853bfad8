"""Kubernetes quantities in the form in which the API server returns them, so that equal amounts are equal texts.

The canonical form has the largest suffix that loses no precision (k8s.io/apimachinery/pkg/api/resource, `Quantity`):
never `1000m` but `1`, never `1024Mi` but `1Gi`.
"""

from __future__ import annotations

_DECIMAL_SUFFIXES = ("m", "", "k", "M", "G", "T", "P", "E")
_BINARY_SUFFIXES = ("Mi", "Gi", "Ti", "Pi", "Ei")


def cpu(millicores: int) -> str:
    """Return a number of thousandths of a core as a quantity."""
    return _canonical(millicores, 1000, _DECIMAL_SUFFIXES)


def count(number: int) -> str:
    """Return a number of objects as a quantity."""
    return _canonical(number, 1000, _DECIMAL_SUFFIXES[1:])


def memory(mebibytes: int) -> str:
    """Return a number of mebibytes as a quantity."""
    return _canonical(mebibytes, 1024, _BINARY_SUFFIXES)


def _canonical(number: int, step: int, suffixes: tuple[str, ...]) -> str:
    if number == 0:
        return "0"
    position = 0
    while number % step == 0 and position < len(suffixes) - 1:
        number //= step
        position += 1
    return f"{number}{suffixes[position]}"
