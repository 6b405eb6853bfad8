"""The nation's units are what public sources say, to the byte; the real reform leads from one scheme to the other."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inventories.errors import ExitCode
from inventories.model import Unit, UnitLevel
from scripts import gathering_units
from scripts.gathering_units import (
    Finding,
    GatheringError,
    NewRow,
    OldRow,
    SourceRefusedError,
    Succession,
    Wheel,
    differences,
    gather,
    line_of,
    main,
    read_second,
    read_succession,
    reform,
    spelling_key,
    table,
    units_of_2021,
    wheel_in,
    write_if_changed,
)
from scripts.toolchain.cache import cache_root

INVENTORIES = Path(__file__).parents[2] / "inventories"
COUNTS = {
    "2021": {"country": 1, "province": 63, "district": 696, "commune": 10_040},
    "2025": {"country": 1, "province": 34, "commune": 3_321},
}
CODE_DIGITS = {"province": 2, "district": 3, "commune": 5}
LISTS = ("2021", "2025", "reform")

Rows = dict[str, dict[str, Any]]


def rows_of(scheme: str) -> list[dict[str, str]]:
    """Return the rows of a scheme's committed table."""
    with (INVENTORIES / f"nation-{scheme}" / "units.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def findings_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a committed list of differences and doubts."""
    with (INVENTORIES / f"SOURCES-{name}.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def an_old_row(**changes: object) -> OldRow:
    """Return a commune of a province with one district."""
    province = ("01", "Thành phố A", 21.0, 105.0, "a")
    district = ("001", "Quận B", 21.1, 105.1, "b")
    row = OldRow(*province, *district, "00001", "Phường C", 21.2, 105.2, "c")
    return row._replace(**changes)  # type: ignore[arg-type] # each value has its field's type


def a_new_row(**changes: object) -> NewRow:
    """Return the commune that it became."""
    row = NewRow("01", "Thành phố A", 21.0, 105.0, "a", "00001", "Phường D", 21.3, 105.3, "d")
    return row._replace(**changes)  # type: ignore[arg-type] # likewise


def a_unit(code: str, level: UnitLevel, name: str, parent: str | None) -> Unit:
    """Return a unit that lies somewhere."""
    return Unit(code=code, level=level, name=name, parent=parent, latitude=21.0, longitude=105.0)


@pytest.mark.parametrize("scheme", COUNTS)
def test_each_scheme_has_its_units_once_below_a_parent_that_exists(scheme: str) -> None:
    """The counts are the law's, codes are unique text of fixed length, names are composed, parents one level up."""
    rows = rows_of(scheme)
    by_code = {row["code"]: row for row in rows}
    assert Counter(row["level"] for row in rows) == COUNTS[scheme]
    assert len(by_code) == len(rows)
    levels = list(COUNTS[scheme])
    for row in rows[1:]:
        assert len(row["code"]) == CODE_DIGITS[row["level"]]
        assert by_code[row["parent"]]["level"] == levels[levels.index(row["level"]) - 1]
        assert row["name"] == unicodedata.normalize("NFC", row["name"])
        assert re.fullmatch(r"\d{1,2}\.\d{1,6},\d{3}\.\d{1,6}", f"{row['latitude']},{row['longitude']}")
    assert rows == sorted(rows, key=lambda row: (levels.index(row["level"]), row["code"]))


def test_the_five_new_codes_of_2025_are_the_islands_that_had_no_commune() -> None:
    """Every other commune of 2025 has a code of 2021; the five are the special zones of the five island districts."""
    before, after = rows_of("2021"), rows_of("2025")
    islands = set(gathering_units.ISLANDS.values())
    old = {row["code"]: row for row in before}
    assert {row["code"] for row in after} <= old.keys()
    sizes = Counter(row["parent"] for row in before if row["level"] == "commune")
    for row in after:
        if row["code"] in islands:
            district = old[old[row["code"]]["parent"]]
            assert sizes[district["code"]] == 1
            assert old[row["code"]]["name"] == district["name"]
            assert row["name"].removeprefix("Đặc khu ") == district["name"].removeprefix("Huyện ")
    assert islands <= {row["code"] for row in after}


def test_the_account_of_the_sources_counts_what_the_lists_hold() -> None:
    """SOURCES.md states, for each kind of finding, how many the lists have; and names every source with its hash."""
    text = (INVENTORIES / "SOURCES.md").read_text(encoding="utf-8")
    counted = [Counter(row["finding"] for row in findings_of(name)) for name in LISTS]
    kinds = sorted({kind for counts in counted for kind in counts} - {"spelling"})
    stated = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+ \| \d+ \| \d+) \|", text, re.MULTILINE))
    assert stated == {kind: " | ".join(str(counts[kind]) for counts in counted) for kind in kinds}
    for name in ("2021", "2025"):
        (spelling,) = (row["detail"] for row in findings_of(name) if row["finding"] == "spelling")
        assert f"{spelling.split()[0]} for {name}" in text
    for wheel in (gathering_units.FIRST, *gathering_units.SECOND.values()):
        assert f"{wheel.project} {wheel.version}" in text
        assert wheel.sha256 in text


# --- the sources are the pinned ones, or nothing is written


def test_a_changed_byte_in_a_wheel_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not the pinned content is never read (CGC-681, wrong input), and no file is written."""
    content = b"PK the pinned content"
    wheel = Wheel(project="planet", version="1", file="planet.whl", sha256=hashlib.sha256(content).hexdigest())
    path = tmp_path / wheel.file
    path.write_bytes(content)
    assert wheel_in(tmp_path, wheel) == path
    path.write_bytes(content.replace(b"K", b"L"))
    with pytest.raises(SourceRefusedError, match="CGC-681") as refused:
        wheel_in(tmp_path, wheel)
    assert refused.value.where == str(path)
    monkeypatch.setattr(gathering_units, "FIRST", wheel)
    assert main(["--wheels", str(tmp_path), "--into", str(tmp_path / "out")]) == ExitCode.WRONG_INPUT
    assert "CGC-681" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_source_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A download that fails ends with CGC-680, the source and what to do."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main(["--wheels", str(tmp_path), "--into", str(tmp_path / "out")]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert "CGC-680" in said
    assert gathering_units.FIRST.file in said


def test_a_wheel_without_the_data_is_refused(tmp_path: Path) -> None:
    """A wheel that lacks the file that is read from it, or is none, is not as expected (CGC-682)."""
    path = tmp_path / "empty.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(SourceRefusedError, match="CGC-682"):
        gathering_units.read_first(path)
    path.write_bytes(b"no archive")
    with pytest.raises(SourceRefusedError, match="CGC-682"):
        gathering_units.read_first(path)


@pytest.mark.parametrize("text", [b"no JSON", b'[{"code": 1}]', b'[{"name": "A", "code": 1, "wards": [1]}]', b"1"])
def test_a_second_source_of_another_shape_is_refused(text: bytes) -> None:
    """What cannot be compared is not as expected (CGC-682), rather than a list of differences."""
    with pytest.raises(SourceRefusedError, match="CGC-682"):
        read_second(text)


@pytest.mark.parametrize(
    "rows",
    [
        [an_old_row(code=None, name=None, latitude=None, longitude=None, key=None)],  # no island that we know
        [an_old_row(latitude=None)],
        [an_old_row(), an_old_row(name="Phường Z")],  # one code, two names
        [an_old_row()],  # one commune is not the nation
    ],
)
def test_a_table_that_is_not_the_nations_is_refused(rows: list[OldRow]) -> None:
    """Communes without a place, codes with two names and other counts than the law's are not as expected (CGC-682)."""
    with pytest.raises(SourceRefusedError, match="CGC-682"):
        units_of_2021(rows)


def a_mapping(**changes: object) -> bytes:
    """Return the mapping of one commune to one."""
    mapping = {
        "DICT_PROVINCE": {"a": ["a"]},
        "DICT_PROVINCE_WARD_NO_DIVIDED": {"a": {"d": ["a_b_c"]}},
        "DICT_PROVINCE_WARD_DIVIDED": {},
    }
    return json.dumps({**mapping, **changes}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON",
        b"[]",
        a_mapping(DICT_PROVINCE={"a": ["z"]}),
        a_mapping(DICT_PROVINCE_WARD_NO_DIVIDED={"a": {"z": ["a_b_c"]}}),
        a_mapping(DICT_PROVINCE_WARD_NO_DIVIDED={"a": {"d": ["a_b_z"]}}),
        a_mapping(DICT_PROVINCE_WARD_NO_DIVIDED={}),  # the commune went nowhere
        a_mapping(DICT_PROVINCE_WARD_DIVIDED={"a": {"a_b_c": [{"newWardKey": "d", "isDefaultNewWard": True}]}}),
    ],
)
def test_a_mapping_that_leads_nowhere_is_refused(text: bytes) -> None:
    """Each unit of 2021 goes to exactly one of 2025 that exists; anything else is not as expected (CGC-682)."""
    sound = read_succession(a_mapping(), [an_old_row()], [a_new_row()])
    assert sound.whole == {"00001": {"00001"}}
    if b"WARD_DIVIDED" in text and b"isDefault" in text:  # at two places: whole, and whole again by its division
        new = [a_new_row(), a_new_row(code="00002", key="e")]
        text = text.replace(b'"newWardKey": "d"', b'"newWardKey": "e"')
    else:
        new = [a_new_row()]
    with pytest.raises(SourceRefusedError, match="CGC-682"):
        read_succession(text, [an_old_row()], new)


# --- what is written


def test_a_code_that_another_new_commune_uses_again_is_a_part_taken_from_it() -> None:
    """The unit with a reused code goes on; the one that took most of it names it among `parts_of`, never as ceasing."""
    old = [
        a_unit("VN", UnitLevel.COUNTRY, "Việt Nam", None),
        a_unit("01", UnitLevel.PROVINCE, "Tỉnh A", "VN"),
        a_unit("001", UnitLevel.DISTRICT, "Huyện B", "01"),
        *(a_unit(f"0000{digit}", UnitLevel.COMMUNE, f"Xã {digit}", "001") for digit in (1, 2, 3)),
    ]
    new = [*old[:2], a_unit("00001", UnitLevel.COMMUNE, "Xã 1", "01"), a_unit("00002", UnitLevel.COMMUNE, "Xã N", "01")]
    succession = Succession(
        provinces={"01": frozenset({"01"})},
        whole={"00001": frozenset({"00001", "00002"}), "00002": frozenset({"00003"})},
        parts={"00002": frozenset({"00002"})},
    )
    assert [line_of(step) for step in reform(old, new, succession)] == [
        "  - remove_level: {level: district}\n",
        '  - merge: {into: "00001", units: [], parts_of: ["00002"]}\n',
        '  - merge: {into: "00002", units: ["00003"], name: "Xã N"}\n',
    ]
    reused = list(gathering_units.reused_codes(old, new, succession))
    assert reused == [Finding("code-reused", "00002", "Xã N", "00001", "was Xã 2")]


def test_two_sources_differ_where_codes_names_and_parents_do() -> None:
    """A unit is the same by its name below its parent, else by its code; where a tone mark stands is no difference."""
    units = [
        a_unit("01", UnitLevel.PROVINCE, "Tỉnh A", "VN"),
        a_unit("02", UnitLevel.PROVINCE, "Tỉnh B", "VN"),
        a_unit("00001", UnitLevel.COMMUNE, "Xã Hòa", "01"),  # spelled otherwise
        a_unit("00002", UnitLevel.COMMUNE, "Xã Hai", "01"),  # has another code there
        a_unit("00003", UnitLevel.COMMUNE, "Xã Lý", "01"),  # has another name there
        a_unit("00004", UnitLevel.COMMUNE, "Xã Bốn", "01"),  # lies in another province there
        a_unit("00005", UnitLevel.COMMUNE, "Xã Năm", "01"),  # its code is another's there
        a_unit("00006", UnitLevel.COMMUNE, "Xã Sáu", "01"),
    ]
    second = {
        "01": ("Tỉnh A", "VN"),
        "02": ("Tỉnh B", "VN"),
        "00001": ("Xã Hoà", "01"),
        "00012": ("Xã Hai", "01"),
        "00003": ("Xã Lí", "01"),
        "00004": ("Xã Bốn", "02"),
        "00005": ("Xã Sáu", "01"),
        "00009": ("Xã Chín", "02"),
    }
    assert list(differences(units, second)) == [
        Finding("other-code", "00002", "Xã Hai", "00012"),
        Finding("other-name", "00003", "Xã Lý", "Xã Lí"),
        Finding("other-parent", "00004", "Xã Bốn", "02", "below 01"),
        Finding("only-first", "00005", "Xã Năm", "", "below 01"),
        Finding("other-code", "00006", "Xã Sáu", "00005"),
        Finding("only-second", "00009", "Xã Chín", "", "below 02"),
        Finding("spelling", "", "", "", "1 names differ only in where a tone mark stands (hòa and hoà)"),
    ]


def test_a_tone_mark_may_stand_at_either_vowel_but_is_never_left_out() -> None:
    """Two spellings of one name are equal, decomposed text included; other names are not."""
    assert (
        spelling_key("Thụy Hòa") == spelling_key("Thuỵ Hoà") == spelling_key(unicodedata.normalize("NFD", "Thụy Hoà"))
    )
    assert len({spelling_key(name) for name in ("Hòa", "Hoa", "Hỏa", "Hòá", "Lý", "Lí")}) == 6


def test_a_table_is_plain_text_for_every_machine() -> None:
    """Commas, one line feed a row, and one to six decimals without noise."""
    unit = Unit(code="01", level=UnitLevel.PROVINCE, name="Tỉnh A", parent="VN", latitude=10.0, longitude=105.1234564)
    assert table([unit]) == "code,level,name,parent,latitude,longitude\n01,province,Tỉnh A,VN,10.0,105.123456\n"


def test_a_file_is_written_only_if_it_changes(tmp_path: Path) -> None:
    """A text that stands already is left alone; where nothing can be written, the file is named (CGC-683)."""
    path = tmp_path / "nation" / "units.csv"
    assert write_if_changed(path, "Tỉnh A\n")
    assert not write_if_changed(path, "Tỉnh A\n")
    assert write_if_changed(path, "Tỉnh B\n")
    with pytest.raises(GatheringError, match="CGC-683") as refused:
        write_if_changed(path / "units.csv", "Tỉnh A\n")
    assert refused.value.where == str(path / "units.csv")


# --- the whole, which takes seconds


@pytest.mark.slow
def test_everything_is_gathered_anew_to_the_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is committed is exactly what the pinned sources make; a second run changes nothing."""
    wheels = cache_root(os.environ) / "units"
    assert main(["--wheels", str(wheels), "--into", str(tmp_path)]) == ExitCode.AS_DECLARED
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(made) == 8
    for path in made:
        assert (tmp_path / path).read_bytes() == (INVENTORIES / path).read_bytes(), path
    assert {path.name for path in INVENTORIES.glob("SOURCES-*.csv")} == {
        path.name for path in made if not path.parent.name
    }
    capsys.readouterr()
    assert main(["--wheels", str(wheels), "--into", str(tmp_path)]) == ExitCode.AS_DECLARED
    assert re.search(r"^changed\s*(–|-)?\s*$", capsys.readouterr().out, re.MULTILINE)
    assert all(text.endswith("\n") and "\r" not in text for text in gather(wheels).values())


def reformed(units: Rows, steps: list[dict[str, dict[str, Any]]]) -> Rows:
    """Apply the steps of a reform to units by code: written here again, knowing nothing of the code that made them."""
    units = {code: dict(unit) for code, unit in units.items()}

    def hand_over(ceasing: set[str], heirs: dict[str, str]) -> None:
        for code, unit in units.items():
            if code not in ceasing and unit["parent"] in ceasing:
                unit["parent"] = heirs[unit["parent"]]
        for code in ceasing:
            del units[code]

    for step in steps:
        ((kind, what),) = step.items()
        if kind == "remove_level":
            ceasing = {code for code, unit in units.items() if unit["level"] == what["level"]}
            hand_over(ceasing, {code: units[code]["parent"] for code in ceasing})
            continue
        unit = units[what["into" if kind == "merge" else "unit"]]
        if kind == "merge":
            assert all(units[code]["level"] == unit["level"] for code in what["units"])
            assert what["units"] or what["parts_of"]
            hand_over(set(what["units"]), dict.fromkeys(what["units"], what["into"]))
        else:
            assert kind == "rename"
        unit.update({fact: what[fact] for fact in ("name", "latitude", "longitude") if fact in what})
    return units


def typed(rows: list[dict[str, str]]) -> Rows:
    """Return the rows of a table by code, places as numbers."""
    return {
        row["code"]: {**row, "latitude": float(row["latitude"]), "longitude": float(row["longitude"])} for row in rows
    }


@pytest.mark.slow
def test_the_reform_of_2025_leads_from_one_scheme_to_the_other_exactly() -> None:
    """Its steps turn the units of 2021 into those of 2025: every code, level, name, parent and place."""
    path = INVENTORIES / "nation-2021" / "reforms" / "2025-07.yaml"
    declared = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    before, after = typed(rows_of("2021")), typed(rows_of("2025"))
    assert reformed(before, declared["steps"]) == after
    assert set(declared) == {"name", "title", "decided_by", "in_force", "scheme", "addresses", "steps"}


@pytest.mark.slow
def test_the_reform_accounts_for_every_commune_of_2021() -> None:
    """Each goes on or ceases once; a code is named as a part only if it is one of 2021, and never twice in a step."""
    path = INVENTORIES / "nation-2021" / "reforms" / "2025-07.yaml"
    steps = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["steps"]
    before, after = typed(rows_of("2021")), typed(rows_of("2025"))
    merges = [step["merge"] for step in steps if "merge" in step]
    ceased = Counter(code for merge in merges for code in merge["units"])
    assert max(ceased.values()) == 1
    districts = {code for code, unit in before.items() if unit["level"] == "district"}
    assert before.keys() - districts - ceased.keys() == after.keys()
    for merge in merges:
        parts = merge.get("parts_of", [])
        named = [*merge["units"], *parts, merge["into"]]
        assert len(named) == len(set(named))
        assert before.keys() >= set(parts)
    reused = {row["code"]: row["other"] for row in findings_of("reform") if row["finding"] == "code-reused"}
    parts_of = {merge["into"]: merge.get("parts_of", []) for merge in merges}
    assert all(code in parts_of[other] for code, other in reused.items())


@pytest.mark.slow
def test_one_changed_byte_of_a_real_source_is_refused(tmp_path: Path) -> None:
    """The wheel that is read today is refused when one byte of it changes, with nothing written (CGC-681)."""
    wheels = cache_root(os.environ) / "units"
    for wheel in wheel_files(wheels):
        content = bytearray(wheel.read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / wheel.name).write_bytes(content)
    with pytest.raises(SourceRefusedError, match="CGC-681"):
        gather(tmp_path)


def wheel_files(folder: Path) -> Iterator[Path]:
    """Yield the sources' files, downloaded if need be."""
    for wheel in (gathering_units.FIRST, *gathering_units.SECOND.values()):
        yield wheel_in(folder, wheel)
