"""The address plan: which number each unit and each node has, from its stable code alone.

A number has 19 bits and its levels nest, so that every address pool aggregates at each level of the scheme:

    province: 7 bits | district: 6 bits | commune: 6 bits

A province's slot is its code. Slots below it are the code modulo a prime: the statistics office gives siblings codes
that lie close together, so they rarely meet, and no sibling that comes or goes moves another. Where two do meet, the
declaration is refused until an override gives one of them another number. A commune directly below a province (the
scheme of 2025) has all 12 bits. Province slot 0 is the backbone's and level I's own block, as Circular 06/2026/TT-BKHCN
(article 7.4) divides addresses: level I, level II by province, then by commune, each with room to grow.

What identifies a node whatever its parent is its identity, from which its AS number follows (RFC 6996).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from inventories.model import Override, Unit, UnitLevel

COMMUNE_BITS = 6
DISTRICT_BITS = 6
PROVINCE_BITS = 7
SITE_BITS = COMMUNE_BITS + DISTRICT_BITS  # a province's share
NUMBER_BITS = PROVINCE_BITS + SITE_BITS
SLOTS = 61  # the largest prime that leaves slot 0 to the router itself and two to overrides
DIRECT_SLOTS = 4019  # likewise of 12 bits, without the first 64: a province's own
FIRST_DIRECT = 1 << COMMUNE_BITS

# The backbone's block: numbers below 4,096.
FIRST_EDGE = 1024  # four numbers a core site are below it: one a plane, two to grow
FIRST_HOST = 2048

# Identities: communes' codes are below 2**17, districts' below 1,024, provinces' below 100.
FIRST_DISTRICT_IDENTITY = 0x20000
FIRST_PROVINCE_IDENTITY = 0x20400
FIRST_CORE_IDENTITY = 0x20500
FIRST_EDGE_IDENTITY = 0x20900
FIRST_HOST_IDENTITY = 0x20A00
HIGHEST_COMMUNE_CODE = FIRST_DISTRICT_IDENTITY - 1
IDENTITIES = 2**18  # all identities are below it

_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)")
_ORDER = (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE)


def written(number: int) -> str:
    """Return a unit's number as an override writes it, `P.D.C`: the slots of its province, district and commune."""
    province, rest = divmod(number, 1 << SITE_BITS)
    return f"{province}.{rest >> COMMUNE_BITS}.{rest % (1 << COMMUNE_BITS)}"


def parsed(text: str) -> int:
    """Return the number that an override writes; ValueError if it is none."""
    match = _WRITTEN.fullmatch(text)
    parts = [int(part) for part in match.groups()] if match else []
    if not parts or parts[0] >> PROVINCE_BITS or parts[1] >> DISTRICT_BITS or parts[2] >> COMMUNE_BITS:
        raise ValueError(text)
    return (parts[0] << SITE_BITS) + (parts[1] << COMMUNE_BITS) + parts[2]


def slot_of(unit: Unit, parent: UnitLevel) -> int:
    """Return how far a unit's number lies above its parent's, where no override says otherwise."""
    code = int(unit.code)
    if unit.level is UnitLevel.PROVINCE:
        return code << SITE_BITS
    if unit.level is UnitLevel.DISTRICT:
        return (1 + code % SLOTS) << COMMUNE_BITS
    if parent is UnitLevel.DISTRICT:
        return 1 + code % SLOTS
    return FIRST_DIRECT + code % DIRECT_SLOTS


def room_below(level: UnitLevel) -> range:
    """Return how far above a parent's number the numbers of units directly below it may lie."""
    return range(1, 1 << COMMUNE_BITS) if level is UnitLevel.DISTRICT else range(FIRST_DIRECT, 1 << SITE_BITS)


def given_numbers(overrides: Iterable[Override]) -> dict[str, int]:
    """Return the numbers that overrides give, by unit; what is no number is left out: the checks name it."""
    given: dict[str, int] = {}
    for override in overrides:
        if override.fact == "number":
            try:
                given[override.subject] = parsed(override.value)
            except ValueError:
                continue
    return given


def numbers_of(units: Iterable[Unit], overrides: Iterable[Override] = ()) -> dict[str, int]:
    """Return the number of every unit below the country, by its code.

    Units whose parent is not declared are left out: the checks name them.
    """
    given = given_numbers(overrides)
    by_level: dict[UnitLevel, list[Unit]] = {level: [] for level in _ORDER}
    level_of: dict[str, UnitLevel] = {}
    for unit in units:
        level_of[unit.code] = unit.level
        if unit.level in by_level:
            by_level[unit.level].append(unit)
    numbers: dict[str, int] = {}
    for level in _ORDER:
        for unit in by_level[level]:
            number = given.get(unit.code)
            if number is None:
                base = 0 if level is UnitLevel.PROVINCE else numbers.get(unit.parent or "")
                if base is None:
                    continue
                number = base + slot_of(unit, level_of.get(unit.parent or "", UnitLevel.COUNTRY))
            numbers[unit.code] = number
    return numbers


def free_number(unit: Unit, parent: Unit, numbers: Mapping[str, int], taken: set[int]) -> int | None:
    """Return the unit's usual number below its parent or, if that is taken, the next one free there; None without room.

    `numbers` has the parent's number, `taken` every number in use.
    """
    if unit.level is UnitLevel.PROVINCE:
        own = slot_of(unit, parent.level)
        return None if own in taken else own
    base = numbers[parent.code]
    room = room_below(parent.level) if unit.level is UnitLevel.COMMUNE else range(1, 1 << DISTRICT_BITS)
    usual = slot_of(unit, parent.level)
    step = 1 if unit.level is UnitLevel.COMMUNE else 1 << COMMUNE_BITS
    start = room.index(usual // step)
    for offset in range(len(room)):
        number = base + room[(start + offset) % len(room)] * step
        if number not in taken:
            return number
    return None


def identity_of(unit: Unit) -> int:
    """Return a unit's router's identity: unique in the nation and the same whatever its parent."""
    first = {UnitLevel.DISTRICT: FIRST_DISTRICT_IDENTITY, UnitLevel.PROVINCE: FIRST_PROVINCE_IDENTITY}
    return first.get(unit.level, 0) + int(unit.code)


def settled(units: Iterable[Unit], overrides: Iterable[Override]) -> dict[str, int]:
    """Return numbers for those units whose own meets another's, so that all may stand: what overrides are to write.

    The unit with the lower code keeps its number. ValueError, with the unit's code, where a parent has no room left.
    """
    by_code = {unit.code: unit for unit in units}
    given = given_numbers(overrides)
    found: dict[str, int] = {}
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    waiting: list[Unit] = []
    for level in _ORDER:
        for unit in sorted((unit for unit in by_code.values() if unit.level is level), key=lambda unit: unit.code):
            parent = by_code[unit.parent or ""]
            usual = numbers.get(parent.code, 0) + slot_of(unit, parent.level)
            number = given.get(unit.code, usual)
            if number in taken:
                waiting.append(unit)
            else:
                numbers[unit.code] = number
                taken.add(number)
        for unit in waiting:
            free = free_number(unit, by_code[unit.parent or ""], numbers, taken)
            if free is None:
                raise ValueError(unit.code)
            found[unit.code] = numbers[unit.code] = free
            taken.add(free)
        waiting.clear()
    return found
