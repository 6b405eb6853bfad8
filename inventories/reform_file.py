"""A reform of the administrative scheme as a file: what is decided, step after step, read strictly, written exactly.

Reading what was written gives an equal reform: numbers and names are written so that no digit and no letter is lost.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from inventories.declaration import NationFile
from inventories.model import Identifier, Override, Text, Unit, UnitLevel
from inventories.reading import Reader

KEPT_YEARS = 10  # how long old addresses stay by an override, where the reform does not say
_LEVELS = tuple(UnitLevel)
SCHEMES = ("2021", "2025")
COLUMNS = ("code", "level", "name", "parent", "latitude", "longitude")


class AddressPolicy(StrEnum):
    """What a reform does to the places that units have in the address plan."""

    KEEP = "keep"  # who stays keeps its addresses: overrides are written where the new parent would change them
    RENUMBER = "renumber"  # everybody moves to its new parent's block; overrides only where two would meet there
    LISTED = "listed"  # the reform's own lists of overrides say it all


@dataclass(frozen=True, kw_only=True)
class RemoveLevel:
    """All units of a level cease; what lies in them goes to their parents."""

    level: UnitLevel


@dataclass(frozen=True, kw_only=True)
class Merge:
    """`units` cease and what lies in them goes to `into`; of `parts_of` it takes parts, which is only told."""

    into: str
    units: tuple[str, ...]
    parts_of: tuple[str, ...] = ()
    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rename:
    """A unit's name or place changes."""

    unit: str
    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """A unit gets another parent."""

    unit: str
    to: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """`units` are born out of `unit`, which stays with what is left; `children` go to those that were born."""

    unit: str
    units: tuple[Unit, ...]
    children: tuple[Move, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AddLevel:
    """A level that was not there comes with all its units; `children` go to them."""

    level: UnitLevel
    units: tuple[Unit, ...]
    children: tuple[Move, ...] = ()


Action = RemoveLevel | Merge | Rename | Move | Split | AddLevel


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action; exactly one of the keys is given."""

    remove_level: RemoveLevel | None = None
    merge: Merge | None = None
    rename: Rename | None = None
    move: Move | None = None
    split: Split | None = None
    add_level: AddLevel | None = None
    place: str = field(default="", compare=False, metadata={"filled_by_reader": True})  # file:line

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions given: one, in a step that was not refused."""
        given = (self.remove_level, self.merge, self.rename, self.move, self.split, self.add_level)
        return tuple(action for action in given if action is not None)


def step_of(action: Action) -> Step:
    """Return the step that does one action."""
    match action:
        case RemoveLevel():
            return Step(remove_level=action)
        case Merge():
            return Step(merge=action)
        case Rename():
            return Step(rename=action)
        case Move():
            return Step(move=action)
        case Split():
            return Step(split=action)
        case AddLevel():
            return Step(add_level=action)


@dataclass(frozen=True, kw_only=True)
class OverriddenFact:
    """The fact of a subject whose override is meant."""

    subject: str
    fact: str
    place: str = field(default="", compare=False, metadata={"filled_by_reader": True})  # file:line


@dataclass(frozen=True, kw_only=True)
class Reform:
    """What a decision changes in the administrative scheme.

    Steps are applied one after the other; then the overrides that `drop` names go, and so do those of units that
    ceased; then those of `overrides` come.
    """

    name: Identifier
    title: Text
    decided_by: str
    in_force: date
    steps: tuple[Step, ...]
    scheme: str | None = None  # the administrative scheme after it, where that changes
    addresses: AddressPolicy = AddressPolicy.KEEP
    keep_until: date | None = None
    drop: tuple[OverriddenFact, ...] = ()
    overrides: tuple[Override, ...] = ()
    place: str = field(default="", compare=False, metadata={"filled_by_reader": True})  # file:line

    @property
    def kept_until(self) -> date:
        """When overrides that this reform writes end."""
        if self.keep_until is not None:
            return self.keep_until
        year = min(self.in_force.year + KEPT_YEARS, date.max.year)
        is_leap_day = (self.in_force.month, self.in_force.day) == (2, 29)
        return date(year, 2, 28) if is_leap_day else self.in_force.replace(year=year)


def read_reform(path: Path) -> Reform:
    """Return the reform that a file declares; DeclarationRefusedError with everything that is wrong with its form."""
    reader, file = Reader(path.parent), path.name
    reform = reader.read(file, Reform)
    reader.refuse_if_wrong()
    assert reform is not None  # noqa: S101 - else it was refused; this tells the type checker
    steps = tuple(replace(step, place=reader.place(file, "steps", index)) for index, step in enumerate(reform.steps))
    for step in steps:
        if len(step.actions) != 1:
            what = f"the step does {len(step.actions) or 'no'} things"
            reader.complain("CGC-120", step.place, what, "write each step as a list entry with exactly one key")
    if reform.scheme not in (None, *SCHEMES):
        what = f"scheme is {reform.scheme!r}"
        reader.complain("CGC-106", reader.place(file, "scheme"), what, f"write one of {', '.join(SCHEMES)}")
    reader.refuse_if_wrong()
    absolute = path.absolute()  # as the place of an override is looked for below the declaration's directory

    def place_of(item: str, index: int) -> str:
        return f"{absolute}:{reader.line(file, item, index)}"

    return replace(
        reform,
        steps=steps,
        drop=tuple(replace(fact, place=place_of("drop", index)) for index, fact in enumerate(reform.drop)),
        overrides=tuple(
            replace(override, place=place_of("overrides", index)) for index, override in enumerate(reform.overrides)
        ),
        place=f"{absolute}:{reader.line(file, 'addresses')}",
    )


def nation_text(nation: NationFile) -> str:
    """Return nation.yaml of a declaration that has all of its files itself."""
    return "\n".join(
        [
            f"name: {_quoted(nation.name)}",
            f"title: {_title(nation.title)}",
            f"scheme: {_quoted(nation.scheme)}",
            f"domain: {_quoted(nation.domain)}",
            "",
        ]
    )


def units_text(units: Iterable[Unit]) -> str:
    """Return units.csv, a row a unit, by level from the country down and by code."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for unit in sorted(units, key=lambda unit: (_LEVELS.index(unit.level), unit.code)):
        place = _number(unit.latitude), _number(unit.longitude)
        rows.writerow((unit.code, unit.level.value, unit.name, unit.parent or "", *place))
    return text.getvalue()


def overrides_text(overrides: Iterable[Override]) -> str:
    """Return a file of overrides/, an entry a line, by subject and fact."""
    entries = [f"  - {_override(item)}" for item in sorted(overrides, key=lambda item: (item.subject, item.fact))]
    return "overrides: []\n" if not entries else "\n".join(["overrides:", *entries, ""])


def reform_text(reform: Reform) -> str:
    """Return the reform as the file that reads as an equal one."""
    return "\n".join([*_lines_of(reform), ""])


def _lines_of(reform: Reform) -> Iterator[str]:
    yield f"name: {_quoted(reform.name)}"
    yield f"title: {_title(reform.title)}"
    yield f"decided_by: {_quoted(reform.decided_by)}"
    yield f"in_force: {reform.in_force}"
    if reform.scheme is not None:
        yield f"scheme: {_quoted(reform.scheme)}"
    yield f"addresses: {reform.addresses}"
    if reform.keep_until is not None:
        yield f"keep_until: {reform.keep_until}"
    yield "steps:" if reform.steps else "steps: []"
    for step in reform.steps:
        yield from _step_lines(*step.actions)
    if reform.drop:
        yield "drop:"
        yield from (f"  - {{subject: {_quoted(fact.subject)}, fact: {_quoted(fact.fact)}}}" for fact in reform.drop)
    if reform.overrides:
        yield "overrides:"
        yield from (f"  - {_override(override)}" for override in reform.overrides)


def _step_lines(action: Action) -> Iterator[str]:
    match action:
        case RemoveLevel():
            yield f"  - remove_level: {{level: {action.level}}}"
        case Merge():
            facts = [f"into: {_quoted(action.into)}", f"units: {_list(action.units)}"]
            facts += [f"parts_of: {_list(action.parts_of)}"] if action.parts_of else []
            yield f"  - merge: {{{', '.join([*facts, *_renamed(action)])}}}"
        case Rename():
            yield f"  - rename: {{{', '.join([f'unit: {_quoted(action.unit)}', *_renamed(action)])}}}"
        case Move():
            yield f"  - move: {_move(action)}"
        case Split() | AddLevel():
            is_split = isinstance(action, Split)
            yield "  - split:" if is_split else "  - add_level:"
            yield f"      unit: {_quoted(action.unit)}" if isinstance(action, Split) else f"      level: {action.level}"
            yield "      units:"
            yield from (f"        - {_unit(unit)}" for unit in action.units)
            if action.children:
                yield "      children:"
                yield from (f"        - {_move(child)}" for child in action.children)


def _renamed(action: Merge | Rename) -> list[str]:
    facts = [f"name: {_quoted(action.name)}"] if action.name is not None else []
    facts += [f"latitude: {_number(action.latitude)}"] if action.latitude is not None else []
    return facts + ([f"longitude: {_number(action.longitude)}"] if action.longitude is not None else [])


def _move(move: Move) -> str:
    return f"{{unit: {_quoted(move.unit)}, to: {_quoted(move.to)}}}"


def _unit(unit: Unit) -> str:
    parent = f", parent: {_quoted(unit.parent)}" if unit.parent is not None else ""
    place = f"latitude: {_number(unit.latitude)}, longitude: {_number(unit.longitude)}"
    return f"{{code: {_quoted(unit.code)}, level: {unit.level}, name: {_quoted(unit.name)}{parent}, {place}}}"


def _override(override: Override) -> str:
    quoted = {fact: _quoted(getattr(override, fact)) for fact in ("subject", "value", "who", "why")}
    return (
        f"{{subject: {quoted['subject']}, fact: {_quoted(override.fact)}, value: {quoted['value']}, "
        f"who: {quoted['who']}, why: {quoted['why']}, until: {override.until}}}"
    )


def _title(title: Text) -> str:
    return f"{{vi: {_quoted(title.vi)}, en: {_quoted(title.en)}}}"


def _list(codes: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(code) for code in codes)}]"


def _quoted(text: str) -> str:
    """Return the text as a double-quoted scalar (YAML 1.2, 7.3.1), what does not print as an escape."""
    inner = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in inner)


def _number(value: float) -> str:
    """Return the shortest decimal that reads as the same number, without an exponent."""
    return format(Decimal(repr(value)), "f")
