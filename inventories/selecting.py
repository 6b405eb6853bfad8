"""Choose things of the nation by their facts.

As nornir's `F` does: `select(nation, Node, F(level="commune", province="19") & ~F(role="cluster"))`. A suffix says how
to compare: `name__contains="hòa"`, `province__in=("19", "92")`, `name__startswith=…`, `capacity_mbps__atleast=200`,
`…__atmost`. The facts are those of inventories/facts.py. A thing may have several values of a fact (a link's two ends
lie in two provinces): one that fits is enough, and `~` means that none does. Provinces and districts may be given by
name, and names that are typed without marks are compared without them. The same as text: inventories/asking.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from inventories.collation import plain_form
from inventories.errors import InventoryError
from inventories.facts import FACTS, KINDS, Fact, Surroundings, facts_of
from inventories.model import Nation, UnitLevel

T = TypeVar("T")
Test = Callable[[Any], bool]

# What stands before a name to say what kind of unit it is, in plain form.
_KIND_WORDS = re.compile(r"^(tinh|thanh pho|tp|quan|huyen|thi xa|thi tran|phuong|xa|dac khu) (?=.)")
_LISTED = 12  # more values than that are no help
_NEAR = 0.4  # a slip in the first word of two is still near


class Comparison(StrEnum):
    """How a fact is compared with the values that are asked for; the suffix after `__` in `F`."""

    IN = "in"
    CONTAINS = "contains"
    STARTS_WITH = "startswith"
    AT_LEAST = "atleast"
    AT_MOST = "atmost"


class Selection:
    """What is asked for; combine with `&`, `|` and `~`."""

    def __and__(self, other: Selection) -> Selection:
        """Ask for both."""
        return All(parts=(self, other))

    def __or__(self, other: Selection) -> Selection:
        """Ask for either."""
        return Either(parts=(self, other))

    def __invert__(self) -> Selection:
        """Ask for what does not fit."""
        return Not(part=self)

    def conditions(self) -> Iterable[Condition]:
        """Return every condition in it."""
        raise NotImplementedError

    def test(self, around: Surroundings, kind: type) -> Test:
        """Return how to tell whether a thing of this kind fits; what has no such fact does not meet its condition."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class All(Selection):
    """Every part holds; with no part, everything fits."""

    parts: tuple[Selection, ...] = ()

    def conditions(self) -> Iterable[Condition]:
        """Return every condition in it."""
        return (one for part in self.parts for one in part.conditions())

    def test(self, around: Surroundings, kind: type) -> Test:
        """Return how to tell whether a thing of this kind fits."""
        tests = [part.test(around, kind) for part in self.parts]
        return lambda thing: all(test(thing) for test in tests)


@dataclass(frozen=True, kw_only=True)
class Either(Selection):
    """At least one part holds."""

    parts: tuple[Selection, ...]

    def conditions(self) -> Iterable[Condition]:
        """Return every condition in it."""
        return (one for part in self.parts for one in part.conditions())

    def test(self, around: Surroundings, kind: type) -> Test:
        """Return how to tell whether a thing of this kind fits."""
        tests = [part.test(around, kind) for part in self.parts]
        return lambda thing: any(test(thing) for test in tests)


@dataclass(frozen=True, kw_only=True)
class Not(Selection):
    """The part does not hold."""

    part: Selection

    def conditions(self) -> Iterable[Condition]:
        """Return every condition in it."""
        return self.part.conditions()

    def test(self, around: Surroundings, kind: type) -> Test:
        """Return how to tell whether a thing of this kind fits."""
        test = self.part.test(around, kind)
        return lambda thing: not test(thing)


@dataclass(frozen=True, kw_only=True)
class Condition(Selection):
    """One fact compared with one or more values; `place` is where it was written, for errors."""

    fact: str
    comparison: Comparison
    values: tuple[str, ...]
    place: str = field(default="", compare=False)

    def conditions(self) -> Iterable[Condition]:
        """Return itself."""
        return (self,)

    def test(self, around: Surroundings, kind: type) -> Test:
        """Return how to tell whether a thing of this kind fits."""
        fact = FACTS[self.fact]
        read = fact.reader(around, kind)
        fits = self._comparing(fact, around.nation)
        return lambda thing: any(fits(value) for value in read(thing) if value is not None)

    def _comparing(self, fact: Fact, nation: Nation) -> Callable[[str | int], bool]:
        if self.comparison in (Comparison.AT_LEAST, Comparison.AT_MOST):
            bound = int(self.values[0])
            if self.comparison is Comparison.AT_LEAST:
                return lambda value: isinstance(value, int) and value >= bound
            return lambda value: isinstance(value, int) and value <= bound
        if fact.names_level is not None and self.comparison is Comparison.IN:
            codes = frozenset(code for value in self.values for code in codes_of(nation, fact.names_level, value))
            return lambda value: value in codes
        wanted = [(_spelled(value), plain_form(value)) for value in self.values]
        if fact.name != "name":
            spellings = tuple(spelling for spelling, _ in wanted)
            return lambda value: _compare(self.comparison, _spelled(str(value)), spellings)
        exact = tuple(spelling for spelling, _ in wanted if not spelling.isascii())
        plain = tuple(bare for spelling, bare in wanted if spelling.isascii())
        return lambda value: (
            _compare(self.comparison, _spelled(str(value)), exact)
            or _compare(self.comparison, plain_form(str(value)), plain)
        )


def _spelled(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _compare(comparison: Comparison, value: str, wanted: tuple[str, ...]) -> bool:
    if comparison is Comparison.CONTAINS:
        return any(one in value for one in wanted)
    if comparison is Comparison.STARTS_WITH:
        return value.startswith(wanted)
    return value in wanted


def F(**conditions: object) -> Selection:  # noqa: N802 - nornir's name for it
    """Return the selection of what meets all conditions, `fact=value` or `fact__comparison=value`."""
    parts: list[Selection] = []
    for asked, value in conditions.items():
        fact, _, suffix = asked.partition("__")
        several = isinstance(value, Iterable) and not isinstance(value, str)
        values = tuple(str(one) for one in value) if several else (str(value),)  # type: ignore[attr-defined] # as above
        parts.append(condition(fact, suffix or Comparison.IN, values, place=asked))
    return parts[0] if len(parts) == 1 else All(parts=tuple(parts))


EVERYTHING = F()


def condition(fact: str, comparison: str, values: tuple[str, ...], place: str) -> Condition:
    """Return a condition whose parts fit each other; InventoryError if they do not."""
    if fact not in FACTS:
        raise _unknown_fact(fact, tuple(FACTS), "there is no", place)
    try:
        how = Comparison(comparison)
    except ValueError as err:
        raise InventoryError(
            "CGC-131",
            f"there is no comparison {comparison!r}",
            where=place,
            remedy=f"the comparisons are {', '.join(Comparison)}",
        ) from err
    if how in (Comparison.AT_LEAST, Comparison.AT_MOST):
        if not FACTS[fact].is_number:
            numbers = ", ".join(one.name for one in FACTS.values() if one.is_number)
            remedy = f"ask for equality; the facts that are numbers are {numbers}"
            raise InventoryError("CGC-131", f"{fact} is no number", where=place, remedy=remedy)
        if len(values) != 1 or not values[0].isdecimal():
            what = f"{fact} is compared with {', '.join(values)}, which is no number"
            raise InventoryError("CGC-132", what, where=place, remedy="write one whole number")
    return Condition(fact=fact, comparison=how, values=values, place=place)


def _unknown_fact(fact: str, known: Sequence[str], lacking: str, place: str) -> InventoryError:
    near = get_close_matches(fact, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return InventoryError(
        "CGC-131", f"{lacking} fact {fact!r}", where=place, remedy=f"{hint}the facts are {', '.join(known)}"
    )


def select(nation: Nation, kind: type[T], where: Selection, *, among: Sequence[type] = ()) -> tuple[T, ...]:
    """Return the nation's things of one kind that fit, in the nation's order.

    `among` are the kinds that the same question is asked about: each fact that is asked for is one that at least one of
    them has, else InventoryError CGC-131; a thing without the fact does not meet its condition. InventoryError CGC-132
    where a value is asked for that nothing can have.
    """
    kinds = among or (kind,)
    for asked in where.conditions():
        if not any(FACTS[asked.fact].has(one) for one in kinds):
            lacking = f"{' and '.join(KINDS[one][0] for one in kinds)} have no"
            raise _unknown_fact(asked.fact, facts_of(*kinds), lacking, asked.place)
        _refuse_unknown_values(asked, nation)
    test = where.test(Surroundings(nation), kind)
    return tuple(thing for thing in KINDS[kind][1](nation) if test(thing))


def _refuse_unknown_values(asked: Condition, nation: Nation) -> None:
    fact = FACTS[asked.fact]
    if asked.comparison is not Comparison.IN:
        return
    if fact.names_level is not None:
        for value in asked.values:
            if not codes_of(nation, fact.names_level, value):
                raise _unknown_unit(nation, fact.names_level, value, asked.place)
    elif fact.known is not None:
        known = {_spelled(value): value for value in fact.known(nation)}
        for value in asked.values:
            if _spelled(value) not in known:
                raise _unknown_value(fact, value, list(known.values()), asked.place)


def _unknown_value(fact: Fact, value: str, known: list[str], place: str) -> InventoryError:
    near = get_close_matches(value, known, n=3)
    if near:
        remedy = f"did you mean {' or '.join(near)}?"
    elif len(known) <= _LISTED:
        remedy = f"it is one of {', '.join(known)}" if known else "nothing here has one"
    else:
        remedy = f"`cgc nation show` lists what there is; such as {known[0]}"
    return InventoryError("CGC-132", f"there is no {fact.name} {value!r}", where=place, remedy=remedy)


def codes_of(nation: Nation, level: UnitLevel, asked: str) -> tuple[str, ...]:
    """Return the codes of the units of a level that are meant by a code or a name; a name can be that of several.

    A name may leave out its marks, its kind (tỉnh, thành phố …), and the spaces between its words.
    """
    unit = nation.unit_by_code.get(asked)
    if unit is not None and unit.level is level:
        return (asked,)
    wanted, spelling = _joined(plain_form(asked)), _spelled(asked)
    return tuple(
        unit.code
        for unit in nation.units
        if unit.level is level
        and wanted in (_joined(plain_form(unit.name)), _joined(without_kind(unit.name)))
        and (asked.isascii() or _spelled(unit.name).endswith(spelling))  # whoever writes marks means them
    )


def without_kind(name: str) -> str:
    """Return the plain form of a unit's name without the words that say what kind of unit it is."""
    return _KIND_WORDS.sub("", plain_form(name))


def _joined(plain: str) -> str:
    return plain.replace(" ", "")


def _unknown_unit(nation: Nation, level: UnitLevel, asked: str, place: str) -> InventoryError:
    names = {without_kind(unit.name): unit for unit in nation.units if unit.level is level}
    wanted = without_kind(asked)
    near = [name for name in names if wanted in name][:3] or get_close_matches(wanted, names, n=3, cutoff=_NEAR)
    if not names:
        remedy = f"this nation has no level {level.value}"
    elif near:
        remedy = f"did you mean {' or '.join(f'{names[one].name} ({names[one].code})' for one in near)}?"
    else:
        remedy = f"`cgc nation show units --level {level.value}` lists them"
    return InventoryError("CGC-132", f"there is no {level.value} {asked!r}", where=place, remedy=remedy)
