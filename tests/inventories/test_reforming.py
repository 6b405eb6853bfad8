"""Reforms: each kind of step, what it refuses, and the inverse that gives back exactly what was there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from inventories.loading import read_declaration
from inventories.model import Override, Unit, UnitLevel
from inventories.numbering import numbers_of, parsed, settled, written
from inventories.reading import DeclarationRefusedError, Reader
from inventories.reform_file import AddressPolicy, Reform, Step, overrides_text, read_reform, reform_text, units_text
from inventories.reforming import Reason, Reformed, apply, fingerprint_of

INVENTORIES = Path(__file__).parents[2] / "inventories"
HEAD = """\
name: test
title: {vi: "Thử", en: "A test"}
decided_by: "Nghị quyết 1/2026"
in_force: 2026-07-01
"""
FIRST_STEP = 6  # the line of the first step in what `written_reform` writes
WARD = 'level: commune, name: "Phường Mới", parent: "164", latitude: 21.6, longitude: 105.8'

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def units() -> tuple[Unit, ...]:
    """Return the rehearsal's units."""
    return read_declaration(Reader(INVENTORIES / "rehearsal")).units


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a reform of some steps (flow mappings), with more keys before or after them."""

    def writing(*steps: str, before: str = "", after: str = "") -> Path:
        path = tmp_path / "reform.yaml"
        listed = "".join(f"  - {step}\n" for step in steps)
        path.write_text(f"{HEAD}{before}steps:\n{listed}{after}", encoding="utf-8")
        return path

    return writing


def without_places(overrides: tuple[Override, ...]) -> tuple[Override, ...]:
    """Return overrides without where they were read."""
    return tuple(replace(item, place="") for item in overrides)


def undone(reformed: Reformed, tmp_path: Path) -> Reformed:
    """Return the result of the inverse, which is written and read in between."""
    path = tmp_path / "inverse.yaml"
    path.write_text(reform_text(reformed.inverse), encoding="utf-8")
    inverse = read_reform(path)
    assert replace(inverse, overrides=without_places(inverse.overrides)) == replace(
        reformed.inverse, overrides=without_places(reformed.inverse.overrides)
    )
    return apply(inverse, reformed.units, reformed.overrides, scheme=reformed.scheme)


def assert_undone(reformed: Reformed, units: tuple[Unit, ...], overrides: tuple[Override, ...], tmp_path: Path) -> None:
    """Assert that the inverse restores units, overrides and hash, and that its own inverse leads back again."""
    back = undone(reformed, tmp_path)
    assert back.units == units
    assert without_places(back.overrides) == without_places(overrides)
    assert fingerprint_of(back.scheme, back.units, back.overrides) == fingerprint_of("2021", units, overrides)
    forth = undone(back, tmp_path)
    assert forth.units == reformed.units
    assert without_places(forth.overrides) == without_places(reformed.overrides)


def reform_of(write: Write, *steps: str, units: tuple[Unit, ...], tmp_path: Path, **keys: str) -> dict[str, Unit]:
    """Return the units after a reform of the rehearsal, by code, after seeing that its inverse undoes it."""
    reformed = apply(read_reform(write(*steps, **keys)), units, (), scheme="2021")
    assert_undone(reformed, units, (), tmp_path)
    return {unit.code: unit for unit in reformed.units}


def test_a_level_is_removed_and_what_was_below_hangs_on_what_was_above(
    write: Write, units: tuple[Unit, ...], tmp_path: Path
) -> None:
    """Districts cease, their communes lie in the provinces; the inverse brings back each with its communes."""
    after = reform_of(write, "remove_level: {level: district}", units=units, tmp_path=tmp_path)
    assert {unit.level for unit in after.values()} == {UnitLevel.COUNTRY, UnitLevel.PROVINCE, UnitLevel.COMMUNE}
    assert (after["05440"].parent, after["31117"].parent) == ("19", "92")


def test_units_merge_into_one_with_what_lies_in_them(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """The merged cease, their children change parents, the new name and place hold, the rest stays as it was."""
    step = 'merge: {into: "19", units: ["92"], name: "Tỉnh Mới", latitude: 20.5}'
    after = reform_of(write, step, units=units, tmp_path=tmp_path)
    assert "92" not in after
    assert after["916"].parent == "19"
    assert after["31117"].parent == "916"
    assert (after["19"].name, after["19"].latitude, after["19"].longitude) == ("Tỉnh Mới", 20.5, 105.843540)


def test_a_merge_may_take_parts_only(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """Of what gives parts nothing changes here, also when it ceased in an earlier step."""
    steps = (
        'merge: {into: "05440", units: ["05446"]}',
        'merge: {into: "31117", units: [], parts_of: ["05446", "31120"], name: "Phường Lớn"}',
    )
    after = reform_of(write, *steps, units=units, tmp_path=tmp_path)
    assert "05446" not in after
    assert after["31117"].name == "Phường Lớn"
    assert after["31120"].name == "Phường An Hòa"


def test_a_unit_is_renamed(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """Only what the step names changes, and the place comes back to its last digit."""
    step = 'rename: {unit: "92", name: "Cần Thơ \\"mới\\"", longitude: 105.12345678901234}'
    after = reform_of(write, step, units=units, tmp_path=tmp_path)
    assert after["92"].name == 'Cần Thơ "mới"'
    assert (after["92"].latitude, after["92"].longitude) == (10.034185, 105.12345678901234)


def test_a_unit_moves_to_another_parent(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """It takes along what lies in it."""
    after = reform_of(
        write, 'move: {unit: "164", to: "92"}', 'move: {unit: "31117", to: "92"}', units=units, tmp_path=tmp_path
    )
    assert (after["164"].parent, after["05440"].parent, after["31117"].parent) == ("92", "164", "92")


def test_a_unit_splits(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """The born are there with their facts; children come from the split unit or from elsewhere, and find back."""
    born = '{code: "165", level: district, name: "Quận Mới", parent: "19", latitude: 21.5, longitude: 105.8}'
    children = '[{unit: "05446", to: "165"}, {unit: "31120", to: "165"}]'
    after = reform_of(
        write, f'split: {{unit: "164", units: [{born}], children: {children}}}', units=units, tmp_path=tmp_path
    )
    assert after["165"].name == "Quận Mới"
    parents = [after[code].parent for code in ("05440", "05446", "31120")]
    assert parents == ["164", "165", "165"]


def test_a_level_comes_and_takes_what_is_given_to_it(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """After districts were removed, a new one takes communes of its province, and one of another."""
    born = '{code: "777", level: district, name: "Khu Một", parent: "19", latitude: 21.5, longitude: 105.8}'
    children = '[{unit: "05440", to: "777"}, {unit: "31120", to: "777"}]'
    steps = (
        "remove_level: {level: district}",
        f"add_level: {{level: district, units: [{born}], children: {children}}}",
    )
    after = reform_of(write, *steps, units=units, tmp_path=tmp_path)
    parents = {code: after[code].parent for code in ("05440", "05446", "31117", "31120")}
    assert parents == {"05440": "777", "05446": "19", "31117": "92", "31120": "777"}


def test_what_is_undone_in_the_same_reform_is_no_change(write: Write, units: tuple[Unit, ...]) -> None:
    """A unit that ceases and is born again with the same facts has neither ceased nor been born."""
    again = (
        '{code: "05446", level: commune, name: "Phường Quang Trung", parent: "164", '
        "latitude: 21.591003, longitude: 105.819862}"
    )
    reform = read_reform(
        write('merge: {into: "05440", units: ["05446"]}', f'split: {{unit: "05440", units: [{again}]}}')
    )
    reformed = apply(reform, units, (), scheme="2021")
    assert (reformed.units, reformed.changes, reformed.heirs, reformed.overrides) == (units, (), {}, ())


def test_every_change_names_the_steps_that_caused_it(write: Write, units: tuple[Unit, ...]) -> None:
    """A unit's change has its steps in their order, and a unit that ceased has an heir."""
    path = write("remove_level: {level: district}", 'merge: {into: "92", units: ["19"]}')
    reformed = apply(read_reform(path), units, (), scheme="2021")
    change = next(change for change in reformed.changes if change.code == "05440")
    assert [(cause.reason, cause.place, cause.other) for cause in change.causes] == [
        (Reason.LEVEL_REMOVED, f"{path}:{FIRST_STEP}", "164"),
        (Reason.MERGE, f"{path}:{FIRST_STEP + 1}", "19"),
    ]
    assert reformed.heirs == {"164": "92", "916": "92", "19": "92"}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Steps of which the last cannot be applied, and how that is said."""

    name: str
    steps: tuple[str, ...]
    code: str
    says: str


BORN = f'{{code: "05450", {WARD}}}'
QUARTER = 'unit: "164", units: [{code: "165", level: district, name: x, parent: "19", latitude: 1, longitude: 1}]'
REFUSED = [
    Refused(name="a step without a key", steps=("{}",), code="CGC-120", says="does no things"),
    Refused(name="a step with two keys", code="CGC-120", says="does 2 things",
            steps=('{move: {unit: "164", to: "92"}, remove_level: {level: district}}',)),
    Refused(name="an unknown step", steps=('abolish: {unit: "164"}',), code="CGC-104", says="unknown key 'abolish'"),
    Refused(name="an unknown unit", steps=('rename: {unit: "99999", name: "x"}',), code="CGC-121",
            says="'99999', which is not there"),
    Refused(name="a unit that ceased", code="CGC-121", says=f"ceased at {{path}}:{FIRST_STEP}",
            steps=('merge: {into: "05440", units: ["05446"]}', 'rename: {unit: "05446", name: "x"}')),
    Refused(name="an unknown part", steps=('merge: {into: "05440", units: [], parts_of: ["1"]}',), code="CGC-121",
            says="which is not there"),
    Refused(name="a merge into itself", steps=('merge: {into: "05440", units: ["05446", "05440"]}',), code="CGC-122",
            says="merges 05440 into itself"),
    Refused(name="a merge of one unit twice", steps=('merge: {into: "05440", units: ["05446", "05446"]}',),
            code="CGC-122", says="merges 05446 twice"),
    Refused(name="a merge of a whole and a part", code="CGC-122", says="merges 05446 twice",
            steps=('merge: {into: "05440", units: ["05446"], parts_of: ["05446"]}',)),
    Refused(name="a merge of two levels", steps=('merge: {into: "164", units: ["05446"]}',), code="CGC-122",
            says="merges the commune 05446 into the district 164"),
    Refused(name="a part of another level", steps=('merge: {into: "164", units: [], parts_of: ["19"]}',),
            code="CGC-122", says="merges the province 19"),
    Refused(name="a merge into the country", steps=('merge: {into: "VN", units: ["19"]}',), code="CGC-122",
            says="into the country"),
    Refused(name="a birth of what exists", code="CGC-123", says="bears 05446, which exists",
            steps=(f'split: {{unit: "05440", units: [{{code: "05446", {WARD}}}]}}',)),
    Refused(name="a birth twice", steps=(f'split: {{unit: "05440", units: [{BORN}, {BORN}]}}',), code="CGC-123",
            says="bears 05450 twice"),
    Refused(name="a birth at another level", steps=(f'split: {{unit: "164", units: [{BORN}]}}',), code="CGC-123",
            says="bears the commune 05450, not a district"),
    Refused(name="a birth with no number as code", code="CGC-123", says="'new'",
            steps=(f'split: {{unit: "05440", units: [{{code: new, {WARD}}}]}}',)),
    Refused(name="a code that changes its level", code="CGC-123", says="which was a district",
            steps=("remove_level: {level: district}",
                   f'split: {{unit: "05440", units: [{{code: "164", {WARD.replace("164", "19")}}}]}}')),
    Refused(name="a second country", code="CGC-123", says="a second country",
            steps=("split: {unit: VN, units: [{code: LA, level: country, name: x, latitude: 1, longitude: 1}]}",)),
    Refused(name="a birth without a parent", code="CGC-124", says="without a parent",
            steps=('split: {unit: "92", units: [{code: "93", level: province, name: x, latitude: 1, longitude: 1}]}',)),
    Refused(name="a birth below the wrong level", code="CGC-124", says="directly below the commune 05446",
            steps=(f'split: {{unit: "05440", units: [{BORN.replace("164", "05446")}]}}',)),
    Refused(name="a birth below nothing", steps=(f'split: {{unit: "05440", units: [{BORN.replace("164", "9")}]}}',),
            code="CGC-121", says="'9', which is not there"),
    Refused(name="a child of two parents", code="CGC-124", says="gives 05446 two parents",
            steps=(f'split: {{{QUARTER}, children: [{{unit: "05446", to: "165"}}, {{unit: "05446", to: "165"}}]}}',)),
    Refused(name="a child of what is not born here", code="CGC-124", says="to 916, which is not born here",
            steps=(f'split: {{{QUARTER}, children: [{{unit: "05446", to: "916"}}]}}',)),
    Refused(name="a child of the wrong level", code="CGC-124", says="puts the commune 05446 directly below the commune",
            steps=(f'split: {{unit: "05440", units: [{BORN}], children: [{{unit: "05446", to: "05450"}}]}}',)),
    Refused(name="the country as a child", code="CGC-124", says="puts the country VN",
            steps=(f'split: {{unit: "05440", units: [{BORN}], children: [{{unit: VN, to: "05450"}}]}}',)),
    Refused(name="a move of the country", steps=('move: {unit: VN, to: "19"}',), code="CGC-124", says="the country"),
    Refused(name="a move into itself", steps=('move: {unit: "19", to: "19"}',), code="CGC-124", says="lies in it"),
    Refused(name="a cycle", steps=('move: {unit: "19", to: "05440"}',), code="CGC-124", says="lies in it"),
    Refused(name="a move to the wrong level", steps=('move: {unit: "164", to: "916"}',), code="CGC-124",
            says="puts the district 164 directly below the district 916"),
    Refused(name="a move to nowhere", steps=('move: {unit: "164", to: "20"}',), code="CGC-121", says="'20'"),
    Refused(name="the country removed", steps=("remove_level: {level: country}",), code="CGC-125", says="the country"),
    Refused(name="a level that is not there", code="CGC-125", says="which is not there",
            steps=("remove_level: {level: district}", "remove_level: {level: district}")),
    Refused(name="a level that holds up another", steps=("remove_level: {level: province}",), code="CGC-125",
            says="19 still holds 164"),
    Refused(name="a level that is there", code="CGC-125", says="which is there",
            steps=(f"add_level: {{level: commune, units: [{BORN}]}}",)),
    Refused(name="a level without units", code="CGC-126", says="without a unit",
            steps=("remove_level: {level: district}", "add_level: {level: district, units: []}")),
    Refused(name="a merge of nothing", steps=('merge: {into: "05440", units: []}',), code="CGC-126", says="nothing"),
    Refused(name="a rename of nothing", steps=('rename: {unit: "05440"}',), code="CGC-126", says="changes nothing"),
    Refused(name="a split into nothing", steps=('split: {unit: "05440", units: []}',), code="CGC-126", says="nothing"),
    Refused(name="a move to where it is", steps=('move: {unit: "164", to: "19"}',), code="CGC-126", says="where it is"),
]  # fmt: skip


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_a_step_that_meets_the_wrong_state_is_refused_at_its_line(
    write: Write, units: tuple[Unit, ...], refused: Refused
) -> None:
    """Exactly the wrong step is named, with what it does and what to do instead."""
    path = write(*refused.steps)
    with pytest.raises(DeclarationRefusedError) as caught:
        apply(read_reform(path), units, (), scheme="2021")
    (problem,) = caught.value.problems
    assert problem.code == refused.code
    assert problem.place == f"{path}:{FIRST_STEP + len(refused.steps) - 1}"
    assert refused.says.format(path=path) in problem.what
    assert problem.remedy


def test_all_wrong_steps_are_named_at_once_and_no_consequence(write: Write, units: tuple[Unit, ...]) -> None:
    """A step is not blamed for naming a unit that a refused step would have made or moved."""
    path = write(
        f'split: {{unit: "05441", units: [{BORN}]}}',  # there is no 05441
        'rename: {unit: "05450", name: "x"}',  # only a consequence
        'move: {unit: "164", to: "20"}',
    )
    with pytest.raises(DeclarationRefusedError) as caught:
        apply(read_reform(path), units, (), scheme="2021")
    assert [problem.place for problem in caught.value.problems] == [f"{path}:{FIRST_STEP}", f"{path}:{FIRST_STEP + 2}"]


@pytest.mark.parametrize(
    ("key", "code", "says"),
    [
        ('scheme: "2030"\n', "CGC-106", "write one of 2021, 2025"),
        ("addresses: lose\n", "CGC-106", "keep, renumber, listed"),
        ("keep_until: 2030-02-30\n", "CGC-106", "a date such as"),
        ("author: x\n", "CGC-104", "known are name"),
    ],
)
def test_a_reform_is_read_strictly(write: Write, key: str, code: str, says: str) -> None:
    """Unknown keys and values are refused at their line."""
    path = write('move: {unit: "164", to: "92"}', before=key)
    with pytest.raises(DeclarationRefusedError) as caught:
        read_reform(path)
    (problem,) = caught.value.problems
    assert (problem.code, problem.place) == (code, f"{path}:5")
    assert says in problem.remedy


def test_the_inverse_of_a_reform_that_only_tells_of_parts_has_no_step(
    write: Write, units: tuple[Unit, ...], tmp_path: Path
) -> None:
    """Where no unit changes there is nothing to undo, and that reads as a reform, too."""
    reformed = apply(
        read_reform(write('merge: {into: "05440", units: [], parts_of: ["05446"]}')), units, (), scheme="2021"
    )
    assert (reformed.changes, reformed.inverse.steps) == ((), ())
    assert_undone(reformed, units, (), tmp_path)


def override(subject: str, fact: str, value: str) -> Override:
    """Return an override."""
    return Override(subject=subject, fact=fact, value=value, who="an.ng", why="x", until=date(2099, 1, 1))


def test_who_stays_keeps_its_addresses_by_an_override(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """With `keep`, re-parented units keep their numbers, by whose decision and until when; the inverse undoes it."""
    reform = read_reform(write("remove_level: {level: district}"))
    reformed = apply(reform, units, (), scheme="2021")
    before = numbers_of(units)
    assert reformed.numbers == {code: before[code] for code in reformed.numbers}
    assert reformed.numbers == numbers_of(reformed.units, reformed.overrides)
    assert [item.subject for item in reformed.overrides] == ["05440", "05446", "31117", "31120"]
    kept = reformed.overrides[0]
    assert (kept.fact, kept.value) == ("number", written(before["05440"]))
    assert (kept.who, kept.until) == ("Nghị quyết 1/2026", date(2036, 7, 1))
    assert kept.why == "test: keeps the addresses it had before"
    assert_undone(reformed, units, (), tmp_path)


def test_how_long_addresses_are_kept_can_be_declared(write: Write, units: tuple[Unit, ...]) -> None:
    """`keep_until` ends the overrides; ten years after a leap day is the day before."""
    path = write("remove_level: {level: district}", before="keep_until: 2029-12-31\n")
    reform = read_reform(path)
    assert {item.until for item in apply(reform, units, (), scheme="2021").overrides} == {date(2029, 12, 31)}
    assert replace(reform, keep_until=None, in_force=date(2028, 2, 29)).kept_until == date(2038, 2, 28)


def test_nothing_is_written_where_nothing_would_change(write: Write, units: tuple[Unit, ...]) -> None:
    """A merge of communes leaves the others where they are in the address plan."""
    reformed = apply(read_reform(write('merge: {into: "05440", units: ["05446"]}')), units, (), scheme="2021")
    assert reformed.overrides == ()


def test_with_renumber_everybody_follows_its_parent(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """A re-parented district and its communes move to the new province's block, and no override is written."""
    reform = read_reform(write('move: {unit: "164", to: "92"}', before="addresses: renumber\n"))
    reformed = apply(reform, units, (), scheme="2021")
    assert reformed.overrides == ()
    assert reformed.numbers == numbers_of(reformed.units)
    assert {code for code, number in reformed.numbers.items() if number >> 12 == 92} == {
        "92",
        "916",
        "164",
        "05440",
        "05446",
        "31117",
        "31120",
    }
    assert_undone(reformed, units, (), tmp_path)


def test_with_renumber_two_that_would_meet_are_kept_apart(write: Write, units: tuple[Unit, ...]) -> None:
    """Who was there first keeps its place; who comes gets the next free one, and the plan says whose place it was."""
    there = replace(next(unit for unit in units if unit.code == "05440"), code="05501", parent="916")  # 05440 + 61
    reform = read_reform(write('move: {unit: "05501", to: "164"}', before="addresses: renumber\n"))
    reformed = apply(reform, (*units, there), (), scheme="2021")
    before = numbers_of(units)
    assert reformed.numbers["05440"] == before["05440"]
    assert reformed.numbers["05501"] == before["05440"] + 1
    assert reformed.crowded == {"05501": "05440"}
    assert [item.why for item in reformed.overrides] == ["test: its usual place is that of 05440"]


def test_who_was_there_before_has_the_first_choice(write: Write, units: tuple[Unit, ...]) -> None:
    """Of a newcomer and a unit that moves to the same place, the one that moves gets it, whatever their codes."""
    there = replace(next(unit for unit in units if unit.code == "05440"), code="05511", parent="916")  # 05450 + 61
    steps = ('move: {unit: "05511", to: "164"}', f'split: {{unit: "05440", units: [{BORN}]}}')
    reform = read_reform(write(*steps, before="addresses: renumber\n"))
    assert apply(reform, (*units, there), (), scheme="2021").crowded == {"05450": "05511"}


def test_who_is_born_keeps_clear_of_every_old_place(write: Write, units: tuple[Unit, ...]) -> None:
    """A newcomer's slot may be that of a unit that ceases: for a while both run, so it gets the next free one."""
    born = BORN.replace("05450", "05507")  # 05446 + 61
    steps = ('merge: {into: "05440", units: ["05446"]}', f'split: {{unit: "05440", units: [{born}]}}')
    reformed = apply(read_reform(write(*steps)), units, (), scheme="2021")
    assert reformed.crowded == {"05507": "05446"}
    assert reformed.numbers["05507"] == numbers_of(units)["05446"] + 1


def test_a_district_is_born_where_its_communes_have_room(write: Write, units: tuple[Unit, ...]) -> None:
    """Its block must hold nobody else, also where its own place in it is free."""
    district = '{{code: "{code}", level: district, name: x, parent: "19", latitude: 21.5, longitude: 105.8}}'
    block = parsed("19.43.0") >> 6  # of 164
    step = f'split: {{unit: "164", units: [{district.format(code=164 + 61)}]}}'
    reformed = apply(
        read_reform(write("remove_level: {level: district}")), units, (), scheme="2021"
    )  # the communes stay in the block, the district does not
    assert reformed.numbers["05440"] >> 6 == block
    again = district.format(code=164 + 61)
    step = f"add_level: {{level: district, units: [{again}]}}"
    later = apply(read_reform(write(step)), reformed.units, reformed.overrides, scheme="2021")
    assert later.numbers["225"] >> 6 == block + 1
    assert later.crowded["225"] in ("05440", "05446")


def test_overrides_go_with_their_unit_and_come_back(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """What is overridden of a unit that ceases goes; of a unit that stays it stays, and the inverse restores both."""
    overrides = (
        override("05440", "link_class", "district"),
        override("05446", "link_class", "district"),
        override("05446", "number", "19.43.60"),
        override("92", "homed_at", "hn"),
    )
    reform = read_reform(write('merge: {into: "05440", units: ["05446"]}'))
    reformed = apply(reform, units, overrides, scheme="2021")
    assert [(item.subject, item.fact) for item in reformed.overrides] == [("05440", "link_class"), ("92", "homed_at")]
    assert reformed.dropped == overrides[1:3]
    assert_undone(reformed, units, overrides, tmp_path)


def test_a_reform_can_drop_and_bring_overrides(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """`drop` and `overrides` say it outright; a number that they give holds also where addresses are kept."""
    overrides = (override("05440", "link_class", "district"), override("92", "homed_at", "hn"))
    entry = '{subject: "05446", fact: number, value: "19.43.60", who: a, why: b, until: 2099-01-01}'
    after = f'drop:\n  - {{subject: "92", fact: homed_at}}\noverrides:\n  - {entry}\n'
    reformed = apply(
        read_reform(write('move: {unit: "05446", to: "19"}', after=after)), units, overrides, scheme="2021"
    )
    assert [(item.subject, item.fact) for item in reformed.overrides] == [("05440", "link_class"), ("05446", "number")]
    assert reformed.numbers["05446"] == parsed("19.43.60")
    assert_undone(reformed, units, overrides, tmp_path)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ('drop:\n  - {subject: "92", fact: homed_at}\n', "drops the override of homed_at of '92', which is not there"),
        ('overrides:\n  - {subject: "05446", fact: number, value: "1.1.1", who: a, why: b, until: 2099-01-01}\n',
         "a unit that is not there after the reform"),
        ('overrides:\n  - {subject: "05440", fact: link_class, value: access, who: a, why: b, until: 2099-01-01}\n',
         "is there already"),
    ],
)  # fmt: skip
def test_lists_of_overrides_that_do_not_fit_are_refused(
    write: Write, units: tuple[Unit, ...], after: str, says: str
) -> None:
    """An override is dropped only if it is there, and brought only for a unit that is there and has none."""
    path = write('merge: {into: "05440", units: ["05446"]}', after=after)
    with pytest.raises(DeclarationRefusedError) as caught:
        apply(read_reform(path), units, (override("05440", "link_class", "district"),), scheme="2021")
    (problem,) = caught.value.problems
    assert (problem.code, problem.place) == ("CGC-128", f"{path}:8")
    assert says in problem.what


def test_a_block_that_is_full_is_said(write: Write, units: tuple[Unit, ...]) -> None:
    """Where a district has no slot left for a commune, the step that puts it there is refused."""
    model = next(unit for unit in units if unit.code == "05440")
    crowd = tuple(replace(model, code=f"{6000 + index:05}") for index in range(59))
    given = tuple(
        override(unit.code, "number", f"19.43.{slot}")
        for unit, slot in zip(crowd, [n for n in range(1, 64) if n not in (11, 17, 62, 63)], strict=True)
    )
    taken = (override("05440", "number", "19.43.62"), override("05446", "number", "19.43.63"))
    full = (*crowd, replace(model, code="07000"), replace(model, code="07001"))
    slots = (override("07000", "number", "19.43.11"), override("07001", "number", "19.43.17"))
    path = write(f'split: {{unit: "05440", units: [{BORN}]}}')
    with pytest.raises(DeclarationRefusedError) as caught:
        apply(read_reform(path), (*units, *full), (*given, *taken, *slots), scheme="2021")
    (problem,) = caught.value.problems
    assert (problem.code, problem.place) == ("CGC-128", f"{path}:{FIRST_STEP}")
    assert "no place in the address plan for 05450" in problem.what


def test_what_is_written_reads_as_the_same(write: Write, units: tuple[Unit, ...], tmp_path: Path) -> None:
    """No letter and no digit is lost, whatever a name holds; the same reform is written the same way."""
    odd = replace(
        units[0], name='Hai "ba", \\n: #\ufeff\U0001f1fb\u200b\uffff, {x}', latitude=1e-7, longitude=-0.1234567890123456
    )
    again = tmp_path / "units.csv"
    again.write_text(units_text((odd, *units[1:])), encoding="utf-8")
    assert set(Reader(tmp_path).read_rows("units.csv", Unit)) == {odd, *units[1:]}
    reform = read_reform(write("remove_level: {level: district}", before='scheme: "2025"\nkeep_until: 2030-01-01\n'))
    changed = replace(
        reform,
        title=replace(reform.title, vi=odd.name),
        overrides=(override("19", "number", "3.0.0"),),
        steps=(*reform.steps, *apply(reform, (odd, *units[1:]), (), scheme="2021").inverse.steps),
    )
    path = tmp_path / "again.yaml"
    path.write_text(reform_text(changed), encoding="utf-8")
    read = read_reform(path)
    assert replace(read, overrides=without_places(read.overrides)) == changed
    assert reform_text(read) == reform_text(changed)


def test_the_inverse_of_an_inverse_has_the_first_name(write: Write, units: tuple[Unit, ...]) -> None:
    """Names do not grow without end, and stay identifiers."""
    reform = read_reform(write("remove_level: {level: district}"))
    there = apply(reform, units, (), scheme="2021")
    back = apply(there.inverse, there.units, there.overrides, scheme="2021")
    assert (there.inverse.name, back.inverse.name) == ("test-inverse", "test")
    long = apply(replace(reform, name="a" * 40), units, (), scheme="2021").inverse.name
    assert len(long) <= 40
    assert (there.inverse.addresses, there.inverse.scheme) == (AddressPolicy.LISTED, "2021")


def test_a_hash_is_of_what_is_declared_not_of_where() -> None:
    """Units and overrides in any order and from any file have one hash; a different scheme or fact has another."""
    declared = read_declaration(Reader(INVENTORIES / "rehearsal"))
    items = (override("19", "number", "3.0.0"), replace(override("92", "homed_at", "hn"), place="a.yaml:3"))
    first = fingerprint_of("2021", declared.units, items)
    assert fingerprint_of("2021", tuple(reversed(declared.units)), tuple(reversed(without_places(items)))) == first
    assert fingerprint_of("2025", declared.units, items) != first
    assert fingerprint_of("2021", declared.units, items[:1]) != first
    assert overrides_text(()) == "overrides: []\n"


def test_units_are_written_from_the_country_down() -> None:
    """The rows stand as people read them: whoever wrote the declaration's finds the same file again."""
    rows = Reader(INVENTORIES / "nation-2025").read_rows("units.csv", Unit)
    text = (INVENTORIES / "nation-2025" / "units.csv").read_text(encoding="utf-8")
    assert units_text(reversed(rows)) == text


@pytest.mark.slow
def test_the_reform_of_2025_leads_exactly_to_the_units_of_2025(tmp_path: Path) -> None:
    """All its steps, one after the other, make the 34 provinces and 3,321 communes, and the inverse the old ones."""
    path = INVENTORIES / "nation-2021" / "reforms" / "2025-07.yaml"
    old = Reader(INVENTORIES / "nation-2021").read_rows("units.csv", Unit)
    new = Reader(INVENTORIES / "nation-2025").read_rows("units.csv", Unit)
    before = tuple(sorted(old, key=lambda unit: unit.code))
    overrides = tuple(override(code, "number", written(number)) for code, number in settled(before, ()).items())
    overrides = tuple(sorted(overrides, key=lambda item: item.subject))
    reform: Reform = read_reform(path)
    reformed = apply(reform, before, overrides, scheme="2021")
    assert reformed.units == tuple(sorted(new, key=lambda unit: unit.code))
    assert len(set(reformed.numbers.values())) == len(reformed.numbers)
    numbers = numbers_of(before, overrides)
    assert reformed.numbers == {code: numbers[code] for code in reformed.numbers}
    assert_undone(reformed, before, overrides, tmp_path)


def test_a_step_has_one_action() -> None:
    """The writer and the engine rely on it; the reader refuses anything else."""
    assert Step().actions == ()
