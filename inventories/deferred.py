"""A sequence that is made when it is first looked at: most questions to a large nation need a part of it only."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, overload

T = TypeVar("T")


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector of cycles from walking thousands of new objects again and again: none of them is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Deferred(Sequence[T]):
    """An immutable sequence whose members are computed once, on first use; equal to another with equal members."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make: Callable[[], Iterable[T]] | None = make
        self._made: tuple[T, ...] = ()

    def _members(self) -> tuple[T, ...]:
        if self._make is not None:
            with uncollected():
                self._made = tuple(self._make())
            self._make = None
        return self._made

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members())

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...

    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        """Return one member, or a tuple of several."""
        return self._members()[index]

    def __iter__(self) -> Iterator[T]:
        """Iterate over the members."""
        return iter(self._members())

    def __eq__(self, other: object) -> bool:
        """Whether the other holds equal members in the same order."""
        if not isinstance(other, Deferred | tuple):
            return NotImplemented
        return self is other or self._members() == tuple(other)

    def __hash__(self) -> int:
        """Hash as the tuple of the members does."""
        return hash(self._members())

    def __repr__(self) -> str:
        """Return the members, or that nobody has looked at them."""
        return "Deferred(…)" if self._make is not None else f"Deferred({self._made!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as a plain tuple."""
        return tuple, (self._members(),)
