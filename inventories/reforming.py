"""Apply a reform of the administrative scheme to a nation's units: pure, step by step, with its exact inverse.

Every step is judged against the state that it meets, before it changes anything. The inverse is a reform itself:
applied to the result it gives back the same units, to the last digit, and the same overrides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from inventories.checking import ABOVE, CODES
from inventories.declaration import Declaration
from inventories.model import Override, Text, Unit, UnitLevel
from inventories.numbering import COMMUNE_BITS, free_number, given_numbers, numbers_of, slot_of, written
from inventories.reading import DeclarationRefusedError, Problem, Reader
from inventories.reform_file import (
    Action,
    AddLevel,
    AddressPolicy,
    Merge,
    Move,
    OverriddenFact,
    Reform,
    RemoveLevel,
    Rename,
    Split,
    Step,
    overrides_text,
    step_of,
    units_text,
)

NUMBERED = (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE)  # from the top down
INVERSE = "-inverse"
LONGEST_NAME = 40 - len(INVERSE)  # as identifiers are at most 40 characters long


class Reason(StrEnum):
    """Which kind of step changed a unit."""

    RENAME = "rename"
    MOVE = "move"
    MERGE = "merge"
    SPLIT = "split"
    LEVEL_REMOVED = "level removed"
    LEVEL_ADDED = "level added"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A step that changed a unit; `other` is the unit that it became part of, was born out of, or lost as parent."""

    reason: Reason
    place: str  # file:line
    other: str = ""


@dataclass(frozen=True, kw_only=True)
class UnitChange:
    """What a reform makes of one unit, all steps together; `before` is None if it was born, `after` if it ceased."""

    code: str
    before: Unit | None
    after: Unit | None
    causes: tuple[Cause, ...]

    @property
    def is_renamed(self) -> bool:
        """Whether it stays under another name."""
        return self.before is not None and self.after is not None and self.before.name != self.after.name

    @property
    def is_relocated(self) -> bool:
        """Whether it stays at another place."""
        if self.before is None or self.after is None:
            return False
        places = [(unit.latitude, unit.longitude) for unit in (self.before, self.after)]
        return places[0] != places[1]

    @property
    def is_reparented(self) -> bool:
        """Whether it stays and has another parent."""
        return self.before is not None and self.after is not None and self.before.parent != self.after.parent


@dataclass(frozen=True, kw_only=True)
class Reformed:
    """A nation's units after a reform, and how they came to be so.

    `heirs` names for each unit that ceased what it became part of; `written` are the overrides that the reform's policy
    of addresses added, `crowded` the holder of the place that a unit would have had otherwise; `places` is where each
    unit that any step touched was last changed.
    """

    reform: Reform
    scheme: str
    units: tuple[Unit, ...]
    overrides: tuple[Override, ...]
    inverse: Reform
    changes: tuple[UnitChange, ...]
    heirs: Mapping[str, str]
    numbers_before: Mapping[str, int]
    numbers: Mapping[str, int]
    written: tuple[Override, ...]
    dropped: tuple[Override, ...]
    crowded: Mapping[str, str]
    places: Mapping[str, str]


class _RefusedStepError(Exception):
    """A step that cannot be applied to the state that it meets."""

    def __init__(self, code: str, what: str, remedy: str) -> None:
        super().__init__(what)
        self.code, self.what, self.remedy = code, what, remedy


class _Scheme:
    """The units while steps change them, indexed by parent and level, with everything that happened to each."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units: dict[str, Unit] = {}
        self.children: dict[str, dict[str, None]] = {}  # a dictionary is a set that keeps its order
        self.levels: dict[UnitLevel, dict[str, None]] = {level: {} for level in UnitLevel}
        self.first: dict[str, Unit | None] = {}  # what each touched unit was before
        self.causes: dict[str, list[Cause]] = {}
        self.heirs: dict[str, str] = {}
        for unit in units:
            self._enter(unit)

    def _enter(self, unit: Unit) -> None:
        self.units[unit.code] = unit
        self.levels[unit.level][unit.code] = None
        if unit.parent is not None:
            self.children.setdefault(unit.parent, {})[unit.code] = None

    def _leave(self, unit: Unit) -> None:
        del self.units[unit.code]
        del self.levels[unit.level][unit.code]
        if unit.parent is not None:
            del self.children[unit.parent][unit.code]

    def _touch(self, code: str, cause: Cause) -> None:
        self.first.setdefault(code, self.units.get(code))
        self.causes.setdefault(code, []).append(cause)

    def below(self, code: str) -> tuple[str, ...]:
        """Return the codes of the units directly below one."""
        return tuple(self.children.get(code, ()))

    def bear(self, unit: Unit, cause: Cause) -> None:
        """Add a unit."""
        self._touch(unit.code, cause)
        self.heirs.pop(unit.code, None)
        self._enter(unit)

    def end(self, code: str, heir: str, cause: Cause) -> None:
        """Take a unit out that has nothing below it any more."""
        self._touch(code, cause)
        self.heirs[code] = heir
        self._leave(self.units[code])

    def change(self, unit: Unit, cause: Cause) -> None:
        """Put new facts in the place of a unit's old ones."""
        self._touch(unit.code, cause)
        self._leave(self.units[unit.code])
        self._enter(unit)

    def reparent(self, code: str, parent: str, cause: Cause) -> None:
        """Give a unit another parent."""
        self.change(replace(self.units[code], parent=parent), cause)

    def get(self, code: str) -> Unit:
        """Return a unit that exists now, or refuse the step."""
        unit = self.units.get(code)
        if unit is None:
            ended = (
                f", which ceased at {self.causes[code][-1].place}" if code in self.causes else ", which is not there"
            )
            remedy = "name a unit that exists when this step is applied"
            raise _RefusedStepError("CGC-121", f"names the unit {code!r}{ended}", remedy)
        return unit

    def get_of_any_time(self, code: str) -> Unit:
        """Return a unit that exists or existed, or refuse the step."""
        unit = self.units.get(code) or self.first.get(code)
        return unit if unit is not None else self.get(code)

    def changes(self) -> tuple[UnitChange, ...]:
        """Return what changed in all, by code; what was undone by a later step is no change."""
        return tuple(
            UnitChange(code=code, before=before, after=self.units.get(code), causes=tuple(self.causes[code]))
            for code, before in sorted(self.first.items())
            if before != self.units.get(code)
        )


def apply(reform: Reform, units: Iterable[Unit], overrides: Iterable[Override], *, scheme: str) -> Reformed:
    """Return what a reform makes of a sound declaration's units and overrides; `scheme` is the one before.

    DeclarationRefusedError with every step that cannot be applied to the state it meets: a step after a refused one is
    judged, but not blamed for what the refused one left undone.
    """
    before = {unit.code: unit for unit in units}
    earlier = {(item.subject, item.fact): item for item in overrides}
    state = _Scheme(before.values())
    undoing = _take_steps(reform.steps, state)
    later, dropped = _overrides_after(reform, earlier, before, state.units)
    numbers_before = numbers_of(before.values(), earlier.values())
    places = {code: causes[-1].place for code, causes in state.causes.items()}
    settling = _Settling(reform, before, numbers_before, state.units, later)
    numbers = settling.settle(places)
    later |= {(item.subject, item.fact): item for item in settling.written}
    kept = {key: item for key, item in earlier.items() if _same_fact(item, later.get(key))}
    return Reformed(
        reform=reform,
        scheme=reform.scheme or scheme,
        units=tuple(sorted(state.units.values(), key=lambda unit: unit.code)),
        overrides=tuple(later[key] for key in sorted(later)),
        inverse=Reform(
            name=_inverse_name(reform.name),
            title=_inverse_title(reform.title),
            decided_by=reform.decided_by,
            in_force=reform.in_force,
            steps=tuple(undoing),
            scheme=scheme,
            addresses=AddressPolicy.LISTED,
            keep_until=reform.keep_until,
            drop=tuple(OverriddenFact(subject=key[0], fact=key[1]) for key in sorted(later) if key not in kept),
            overrides=tuple(earlier[key] for key in sorted(earlier) if key not in kept),
        ),
        changes=state.changes(),
        heirs={code: _last_heir(code, state) for code in before if code not in state.units},
        numbers_before=numbers_before,
        numbers=numbers,
        written=tuple(sorted(settling.written, key=lambda item: item.subject)),
        dropped=tuple(dropped),
        crowded=settling.crowded,
        places=places,
    )


def fingerprint_of(scheme: str, units: Iterable[Unit], overrides: Iterable[Override]) -> str:
    """Return the SHA-256 of a scheme's units and overrides; where they were declared does not count."""
    text = f"{scheme}\n{units_text(units)}\n{overrides_text(overrides)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _last_heir(code: str, state: _Scheme) -> str:
    while code not in state.units:
        code = state.heirs[code]
    return code


def _same_fact(one: Override, other: Override | None) -> bool:
    """Whether two overrides say the same, wherever they say it."""
    return other is not None and replace(one, place="") == replace(other, place="")


def _inverse_name(name: str) -> str:
    return name.removesuffix(INVERSE) if name.endswith(INVERSE) else f"{name[:LONGEST_NAME].rstrip('-')}{INVERSE}"


def _inverse_title(title: Text) -> Text:
    return Text(vi=f"Hoàn nguyên: {title.vi}", en=f"Undone: {title.en}")


def _take_steps(steps: Sequence[Step], state: _Scheme) -> list[Step]:
    """Change the state step by step; return the steps that undo it, or refuse all that are wrong."""
    undoing: list[list[Action]] = []
    problems: list[Problem] = []
    doubtful: set[str] = set()  # units that refused steps would have changed: what follows from that is not blamed
    for step in steps:
        (action,) = step.actions
        try:
            undoing.append(_take(action, step.place, state))
        except _RefusedStepError as err:
            changed, other = _codes_in(action)
            if not doubtful & {*changed, *other}:
                problems.append(Problem(code=err.code, place=step.place, what=err.what, remedy=err.remedy))
            doubtful |= {*changed}
    if problems:
        raise DeclarationRefusedError(problems)
    return [step_of(action) for actions in reversed(undoing) for action in actions]


def _codes_in(action: Action) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the codes of the units that an action changes, and of those that it names beside them."""
    match action:
        case RemoveLevel():
            return (), ()
        case Merge():
            return action.units, (action.into,)
        case Rename():
            return (), (action.unit,)
        case Move():
            return (action.unit,), (action.to,)
        case Split() | AddLevel():
            changed = (*(unit.code for unit in action.units), *(child.unit for child in action.children))
            parents = tuple(unit.parent for unit in action.units if unit.parent is not None)
            return changed, (*parents, action.unit) if isinstance(action, Split) else parents


def _take(action: Action, place: str, state: _Scheme) -> list[Action]:
    """Apply one action, or refuse it and change nothing; return what undoes it."""
    match action:
        case RemoveLevel():
            return _remove_level(action, place, state)
        case Merge():
            return _merge(action, place, state)
        case Rename():
            return _rename(action, Cause(reason=Reason.RENAME, place=place), state)
        case Move():
            return _move(action, place, state)
        case Split():
            return _split(action, place, state)
        case AddLevel():
            return _add_level(action, place, state)


def _rename(action: Rename | Merge, cause: Cause, state: _Scheme) -> list[Action]:
    unit = state.get(action.unit if isinstance(action, Rename) else action.into)
    facts = {fact: getattr(action, fact) for fact in ("name", "latitude", "longitude")}
    given = {fact: value for fact, value in facts.items() if value is not None}
    if not given:
        raise _RefusedStepError("CGC-126", f"changes nothing of {unit.code}", "give a name, a latitude or a longitude")
    state.change(replace(unit, **given), cause)
    return [Rename(unit=unit.code, **{fact: getattr(unit, fact) for fact in given})]


def _move(action: Move, place: str, state: _Scheme) -> list[Action]:
    unit, parent = state.get(action.unit), state.get(action.to)
    if unit.parent is None:
        raise _RefusedStepError("CGC-124", "moves the country", "leave it where it is")
    if unit.parent == parent.code:
        raise _RefusedStepError("CGC-126", f"moves {unit.code} to {parent.code}, where it is", "leave the step out")
    above: Unit | None = parent
    while above is not None:
        if above is unit:
            what = f"moves {unit.code} to {parent.code}, which is it or lies in it"
            raise _RefusedStepError("CGC-124", what, "name a unit outside it")
        above = state.units.get(above.parent or "")
    _require_parent(unit, parent)
    state.reparent(unit.code, parent.code, Cause(reason=Reason.MOVE, place=place, other=unit.parent))
    return [Move(unit=unit.code, to=unit.parent)]


def _require_parent(unit: Unit, parent: Unit) -> None:
    allowed = ABOVE.get(unit.level, ())
    if parent.level not in allowed:
        what = f"puts the {unit.level} {unit.code} directly below the {parent.level} {parent.code}"
        remedy = f"name a {' or '.join(allowed)}" if allowed else "leave the country where it is"
        raise _RefusedStepError("CGC-124", what, remedy)


def _merge(action: Merge, place: str, state: _Scheme) -> list[Action]:
    into = state.get(action.into)
    _require_mergeable(action, into, state)
    merged = [state.units[code] for code in action.units]
    moved: list[Move] = []
    for unit in merged:
        for child in state.below(unit.code):
            moved.append(Move(unit=child, to=unit.code))
            state.reparent(child, into.code, Cause(reason=Reason.MERGE, place=place, other=unit.code))
        state.end(unit.code, into.code, Cause(reason=Reason.MERGE, place=place, other=into.code))
    undoing: list[Action] = []
    if merged:
        undoing.append(Split(unit=into.code, units=tuple(merged), children=tuple(moved)))
    if (action.name, action.latitude, action.longitude) != (None, None, None):
        undoing += _rename(action, Cause(reason=Reason.MERGE, place=place), state)
    return undoing


def _require_mergeable(action: Merge, into: Unit, state: _Scheme) -> None:
    if into.level is UnitLevel.COUNTRY:
        raise _RefusedStepError("CGC-122", "merges something into the country", "name a unit of a level below")
    if not action.units and not action.parts_of:
        raise _RefusedStepError("CGC-126", f"merges nothing into {into.code}", "name units, or write a rename")
    named: set[str] = set()
    for code in (*action.units, *action.parts_of):
        if code == into.code:
            raise _RefusedStepError("CGC-122", f"merges {code} into itself", "name the other units only")
        if code in named:
            raise _RefusedStepError("CGC-122", f"merges {code} twice", "name each unit once, as a whole or as a part")
        named.add(code)
    for code in action.units:
        _require_level(state.get(code), into)
    for code in action.parts_of:
        _require_level(state.get_of_any_time(code), into)


def _require_level(unit: Unit, into: Unit) -> None:
    if unit.level is not into.level:
        what = f"merges the {unit.level} {unit.code} into the {into.level} {into.code}"
        raise _RefusedStepError("CGC-122", what, f"name units that are a {into.level} too")


def _split(action: Split, place: str, state: _Scheme) -> list[Action]:
    unit = state.get(action.unit)
    if not action.units:
        raise _RefusedStepError("CGC-126", f"splits nothing off {unit.code}", "name the units that are born")
    _require_bearable(action.units, unit.level, state)
    former = _require_adoptable(action.children, action.units, state)
    for born in action.units:
        state.bear(born, Cause(reason=Reason.SPLIT, place=place, other=unit.code))
    for child in action.children:
        state.reparent(child.unit, child.to, Cause(reason=Reason.SPLIT, place=place, other=former[child.unit]))
    undoing: list[Action] = [
        Move(unit=child.unit, to=former[child.unit]) for child in action.children if former[child.unit] != unit.code
    ]
    return [*undoing, Merge(into=unit.code, units=tuple(born.code for born in action.units))]


def _add_level(action: AddLevel, place: str, state: _Scheme) -> list[Action]:
    if state.levels[action.level]:
        raise _RefusedStepError("CGC-125", f"adds the level {action.level}, which is there", "split or move its units")
    if not action.units:
        raise _RefusedStepError("CGC-126", f"adds the level {action.level} without a unit", "name its units")
    _require_bearable(action.units, action.level, state)
    former = _require_adoptable(action.children, action.units, state)
    parents = {born.code: born.parent for born in action.units}
    for born in action.units:
        state.bear(born, Cause(reason=Reason.LEVEL_ADDED, place=place, other=born.parent or ""))
    for child in action.children:
        state.reparent(child.unit, child.to, Cause(reason=Reason.LEVEL_ADDED, place=place, other=former[child.unit]))
    return [
        RemoveLevel(level=action.level),
        *(
            Move(unit=child.unit, to=former[child.unit])
            for child in action.children
            if former[child.unit] != parents[child.to]
        ),
    ]


def _require_bearable(born: Sequence[Unit], level: UnitLevel, state: _Scheme) -> None:
    if level is UnitLevel.COUNTRY:
        raise _RefusedStepError("CGC-123", "makes a second country", "name a level below")
    codes: set[str] = set()
    for unit in born:
        if unit.code in state.units or unit.code in codes:
            what = f"bears {unit.code}{' twice' if unit.code in codes else ', which exists'}"
            raise _RefusedStepError("CGC-123", what, "give it a code of its own")
        codes.add(unit.code)
        former = state.first.get(unit.code)
        if former is not None and former.level is not level:
            what = f"bears {unit.code} as a {level}, which was a {former.level}"
            raise _RefusedStepError("CGC-123", what, "give it a code of its own: a code never changes its level")
        if unit.level is not level:
            what = f"bears the {unit.level} {unit.code}, not a {level}"
            raise _RefusedStepError("CGC-123", what, f"name units of the level {level}")
        lowest, highest = CODES[level]
        if not (unit.code.isascii() and unit.code.isdigit() and lowest <= int(unit.code) <= highest):
            remedy = f"write a number from {lowest} to {highest}, as the statistics office does"
            raise _RefusedStepError("CGC-123", f"bears a {level} with the code {unit.code!r}", remedy)
        if unit.parent is None:
            raise _RefusedStepError("CGC-124", f"bears {unit.code} without a parent", "name its parent")
        _require_parent(unit, state.get(unit.parent))


def _require_adoptable(children: Sequence[Move], born: Sequence[Unit], state: _Scheme) -> dict[str, str]:
    """Return the parents that the children have now; refuse the step if they cannot go where it says."""
    parents = {unit.code: unit for unit in born}
    former: dict[str, str] = {}
    for child in children:
        unit, parent = state.get(child.unit), parents.get(child.to)
        if child.unit in former:
            raise _RefusedStepError("CGC-124", f"gives {unit.code} two parents", "keep one of the two")
        if parent is None:
            what = f"gives {unit.code} to {child.to}, which is not born here"
            raise _RefusedStepError("CGC-124", what, "name one of the step's own units, or write a move")
        _require_parent(unit, parent)
        former[child.unit] = unit.parent or ""
    return former


def _remove_level(action: RemoveLevel, place: str, state: _Scheme) -> list[Action]:
    level = action.level
    if level is UnitLevel.COUNTRY:
        raise _RefusedStepError("CGC-125", "removes the country", "name a level below")
    removed = [state.units[code] for code in sorted(state.levels[level])]
    if not removed:
        raise _RefusedStepError("CGC-125", f"removes the level {level}, which is not there", "leave the step out")
    for unit in removed:
        for child in state.below(unit.code):
            if state.units[unit.parent or ""].level not in ABOVE[state.units[child].level]:
                what = f"removes the level {level}, and {unit.code} still holds {child}"
                raise _RefusedStepError("CGC-125", what, "remove the levels below it first")
    moved: list[Move] = []
    for unit in removed:
        above = unit.parent or ""
        for child in state.below(unit.code):
            moved.append(Move(unit=child, to=unit.code))
            state.reparent(child, above, Cause(reason=Reason.LEVEL_REMOVED, place=place, other=unit.code))
        state.end(unit.code, above, Cause(reason=Reason.LEVEL_REMOVED, place=place, other=above))
    return [AddLevel(level=level, units=tuple(removed), children=tuple(moved))]


_Key = tuple[str, str]


def _overrides_after(
    reform: Reform, earlier: Mapping[_Key, Override], before: Mapping[str, Unit], after: Mapping[str, Unit]
) -> tuple[dict[_Key, Override], list[Override]]:
    """Return the overrides that stay or that the reform brings, and those that go with the units they are about."""
    later = dict(earlier)
    problems: list[Problem] = []
    for fact in reform.drop:
        if later.pop((fact.subject, fact.fact), None) is None:
            what = f"drops the override of {fact.fact} of {fact.subject!r}, which is not there"
            problems.append(Problem(code="CGC-128", place=fact.place, what=what, remedy="leave it out"))
    dropped = [later.pop(key) for key in sorted(later) if key[0] in before and key[0] not in after]
    for item in reform.overrides:
        key = (item.subject, item.fact)
        if item.subject not in after or key in later:
            why = "is there already" if key in later else "is about a unit that is not there after the reform"
            what = f"the override of {item.fact} of {item.subject!r} {why}"
            problems.append(
                Problem(code="CGC-128", place=item.place, what=what, remedy="leave it out, or drop the other")
            )
        later[key] = item
    if problems:
        raise DeclarationRefusedError(problems)
    return later, dropped


class _Settling:
    """Gives every unit its place in the address plan after a reform, as the reform's policy of addresses says."""

    def __init__(
        self,
        reform: Reform,
        before: Mapping[str, Unit],
        numbers_before: Mapping[str, int],
        after: Mapping[str, Unit],
        overrides: Mapping[_Key, Override],
    ) -> None:
        self.reform = reform
        self.before = before
        self.numbers_before = numbers_before
        self.after = after
        self.overrides = overrides
        self.keeps = reform.addresses is AddressPolicy.KEEP
        self.written: list[Override] = []
        self.crowded: dict[str, str] = {}
        self.given = given_numbers(overrides.values())
        # Whoever is born keeps clear of everybody's old place: for a while both run, and one address has one holder.
        self.holders = {number: code for code, number in numbers_before.items()} if self.keeps else {}
        self.holders |= {number: code for code, number in self.given.items()}
        self.numbers: dict[str, int] = {}

    def settle(self, places: Mapping[str, str]) -> dict[str, int]:
        """Return every unit's number; DeclarationRefusedError, at the unit's last step, where there is no room."""
        if self.reform.addresses is AddressPolicy.LISTED:
            return numbers_of(self.after.values(), self.overrides.values())
        listed = {fact.subject for fact in self.reform.drop if fact.fact == "number"}
        levels: dict[UnitLevel, list[Unit]] = {level: [] for level in UnitLevel}
        for code in sorted(self.after):
            levels[self.after[code].level].append(self.after[code])
        problems: list[Problem] = []
        for level in NUMBERED:
            waiting = [unit for unit in levels[level] if not self._stays(unit, is_listed=unit.code in listed)]
            waiting.sort(key=lambda unit: not self._survives(unit))  # who was there before has the first choice
            for unit in waiting:
                if not self._find_place(unit):
                    what = f"leaves no place in the address plan for {unit.code} below {unit.parent}"
                    remedy = "give it one by an override of `number` in the reform's `overrides`"
                    place = places.get(unit.code, self.reform.place)
                    problems.append(Problem(code="CGC-128", place=place, what=what, remedy=remedy))
        if problems:
            raise DeclarationRefusedError(problems)
        return self.numbers

    def _survives(self, unit: Unit) -> bool:
        return unit.code in self.before

    def _usual(self, unit: Unit) -> int:
        parent = self.after[unit.parent or ""]
        return self.numbers.get(parent.code, 0) + slot_of(unit, parent.level)

    def _stays(self, unit: Unit, *, is_listed: bool) -> bool:
        """Give the unit its declared number or the one it had; False where it must look for a place."""
        usual = self._usual(unit)
        number = self.given.get(unit.code)
        if number is None and self._survives(unit):
            old = self.numbers_before[unit.code]
            if self.keeps and not is_listed:
                number = old
                if old != usual:
                    self._write(unit, old, "keeps the addresses it had before")
            elif old == usual and self.holders.get(usual, unit.code) == unit.code:
                number = old
        if number is None:
            return False
        self.numbers[unit.code] = number
        self.holders[number] = unit.code
        return True

    def _find_place(self, unit: Unit) -> bool:
        """Give the unit its usual number or, where that is taken, the next one free; False if there is none."""
        usual = number = self._usual(unit)
        holder = self._holder_of(usual, unit)
        if holder is not None:
            parent, taken = self.after[unit.parent or ""], set(self.holders)
            free = None
            if unit.level is UnitLevel.DISTRICT:
                free = free_number(unit, parent, self.numbers, {one >> COMMUNE_BITS << COMMUNE_BITS for one in taken})
            if free is None:  # for a district, too: a block with others in it is better than none
                free = free_number(unit, parent, self.numbers, taken)
            if free is None:
                return False
            number = free
            self.crowded[unit.code] = holder
            self._write(unit, number, f"its usual place is that of {holder}")
        self.numbers[unit.code] = number
        self.holders[number] = unit.code
        return True

    def _holder_of(self, number: int, unit: Unit) -> str | None:
        """Return who else has a unit's place: of a district, anywhere in the block that its communes need."""
        for taken in range(number, number + (1 << COMMUNE_BITS if unit.level is UnitLevel.DISTRICT else 1)):
            holder = self.holders.get(taken, unit.code)
            if holder != unit.code and not (holder in self.after and self.after[holder].parent == unit.code):
                return holder
        return None

    def _write(self, unit: Unit, number: int, why: str) -> None:
        self.written.append(
            Override(
                subject=unit.code,
                fact="number",
                value=written(number),
                who=self.reform.decided_by,
                why=f"{self.reform.name}: {why}",
                until=self.reform.kept_until,
                place=self.reform.place,
            )
        )


class TracedReader(Reader):
    """A declaration's reader that, after a reform, tells of a changed unit the step that last changed it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._steps: Mapping[str, str] = {}
        self._changed: list[str] = []

    def follow(self, places: Mapping[str, str]) -> None:
        """Let these units (code: file:line) lie where a step changed them, no longer in their row."""
        self._steps = places

    def row_of(self, file: str, row: object) -> int:
        """Return the index of a row, below zero for a unit that a step changed."""
        if isinstance(row, Unit) and row.code in self._steps:
            self._changed.append(self._steps[row.code])
            return -len(self._changed)
        return super().row_of(file, row)

    def place(self, file: str, *path: str | int) -> str:
        """Return file:line of a row or of the step that changed it."""
        if file == "units.csv" and path and isinstance(path[0], int) and path[0] < 0:
            return self._changed[-1 - path[0]]
        return super().place(file, *path)


def reformed_declaration(declaration: Declaration, reformed: Reformed) -> Declaration:
    """Return the declaration after a reform.

    A declared agency whose unit ceased has its unit's heir, or none if that has an agency already.
    """
    served = {agency.unit for agency in declaration.agencies.agencies}
    if declaration.agencies.each_province is not None:
        served |= {unit.code for unit in declaration.units if unit.level is UnitLevel.PROVINCE}
    agencies = []
    for agency in declaration.agencies.agencies:
        heir = reformed.heirs.get(agency.unit or "")
        agencies.append(agency if heir is None else replace(agency, unit=None if heir in served else heir))
        served.add(agencies[-1].unit)
    return replace(
        declaration,
        nation=replace(declaration.nation, scheme=reformed.scheme),
        units=reformed.units,
        overrides=reformed.overrides,
        agencies=replace(declaration.agencies, agencies=tuple(agencies)),
    )


def check_sites(declaration: Declaration, reformed: Reformed, place_of: Callable[[int], str]) -> list[Problem]:
    """Return a problem for each cluster that stands at a unit which ceases; `place_of` its place among the declared."""
    ended = {change.code: change for change in reformed.changes if change.after is None}
    return [
        Problem(
            code="CGC-127",
            place=ended[cluster.site].causes[-1].place,
            what=f"ends {cluster.site}, where the cluster {cluster.id} stands ({place_of(index)})",
            remedy="declare another site for the cluster and converge, then reform",
        )
        for index, cluster in enumerate(declaration.clusters.clusters)
        if cluster.site in ended
    ]
