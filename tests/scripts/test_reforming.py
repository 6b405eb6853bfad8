"""`cgc nation reform plan`: a preview whose every number the two nations confirm, and a result that can be undone."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from exporters.attribution import session_name
from inventories import Nation, load_nation
from inventories.checking import ABOVE
from inventories.errors import ExitCode
from inventories.model import Interface, Node, Override, Role, SessionKind, Site, Text, Tunnel, Unit, UnitLevel
from inventories.numbering import settled, written
from inventories.reading import Reader
from inventories.reform_file import (
    Action,
    AddLevel,
    AddressPolicy,
    Merge,
    Move,
    Reform,
    RemoveLevel,
    Rename,
    Split,
    Step,
    overrides_text,
    reform_text,
    step_of,
    units_text,
)
from inventories.reforming import apply
from scripts.cli import app
from scripts.reform_preview import Fates, Phase, Why
from scripts.reforming import Planned, plan_reform, write_declaration

INVENTORIES = Path(__file__).parents[2] / "inventories"
TODAY = date(2026, 11, 24)
HEAD = """\
name: test
title: {vi: "Thử", en: "A test"}
decided_by: "Nghị quyết 1/2026"
in_force: 2026-07-01
"""
FIRST_STEP = 6
NEW_PROVINCE = '{code: "21", level: province, name: x, parent: VN, latitude: 16, longitude: 108}'
NEW_DISTRICT = '{code: "165", level: district, name: x, parent: "19", latitude: 21, longitude: 105}'
DISTRICT_MOVES = 'move: {unit: "164", to: "92"}'
RULE = """\
each_province:
  id: "ubnd-{code}"
  name: {vi: "Ủy ban nhân dân {name}", en: "People's Committee of {name}"}
  contact: "truc-ban@{id}.{domain}"
"""
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def written_reform(directory: Path, *steps: str, before: str = "") -> Path:
    """Write a reform of some steps (flow mappings)."""
    path = directory / "reform.yaml"
    listed = "".join(f"  - {step}\n" for step in steps)
    path.write_text(f"{HEAD}{before}steps:\n{listed}", encoding="utf-8")
    return path


def replaced(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def tree_of(directory: Path) -> dict[str, str]:
    """Return every file and directory below one, files with their hash."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(directory.rglob("*"))
    }


def own_addresses(nation: Nation, node: Node) -> tuple[object, ...]:
    """Return every address that is a node's own: loopback, management, its links and tunnels upward, its site's."""
    upward = sorted(
        (str(item.ipv4), str(item.ipv6))
        for item in node.interfaces
        if nation.link_by_name[item.link].ends[0] == node.name
    )
    up = {session.peer for session in node.sessions if session.is_upward}
    tunnels = sorted((str(item.ipv4), str(item.ipv6)) for item in node.tunnels if item.peer in up)
    return node.loopback, node.management, tuple(upward), tuple(tunnels), node.site.prefixes


def sessions_of(nation: Nation) -> dict[str, object]:
    """Return the addresses of every BGP session between autonomous systems, by its name."""
    found: dict[str, set[object]] = defaultdict(set)
    for node in nation.nodes:
        for session in node.sessions:
            if session.kind is SessionKind.EXTERNAL:
                found[session_name(node.name, session.peer)].add((node.name, session.peer_addresses))
    return dict(found)


def links_of(nation: Nation) -> dict[str, object]:
    """Return the lower end's addresses of every link, by its name."""
    return {
        link.name: next(
            (item.ipv4, item.ipv6) for item in nation.node_by_name[link.ends[0]].interfaces if item.link == link.name
        )
        for link in nation.links
    }


def tunnels_of(nation: Nation) -> dict[str, object]:
    """Return the addresses of every commune's tunnel, by the link that it runs over."""
    return {
        item.link: (node.tunnels[0].ipv4, node.tunnels[0].ipv6, item.ipv6)
        for node in nation.with_role(Role.COMMUNE)
        for item in node.interfaces
    }


def fates(before: dict[str, object], after: dict[str, object]) -> Fates:
    """Return which names go, come, and stay with another value."""
    return Fates(
        goes=tuple(sorted(before.keys() - after.keys())),
        comes=tuple(sorted(after.keys() - before.keys())),
        changes=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    )


def aggregates_of(nation: Nation, level: UnitLevel) -> dict[tuple[int, int], str]:
    """Return which province's or district's node can announce which blocks (first number, size): the largest it can."""
    holder: dict[int, str] = {}
    for site in nation.sites:
        if site.unit is not None:
            above: Unit | None = site.unit
            while above is not None and above.level is not level:
                above = nation.unit_by_code.get(above.parent or "")
            holder[site.number] = f"{above.level}-{above.code}" if above is not None else ""
    found: dict[tuple[int, int], str] = {}
    for number, mine in holder.items():
        for bits in (12, 6, 0) if level is UnitLevel.PROVINCE else (6, 0):
            first = number >> bits << bits
            inside = [other for other in range(first, first + (1 << bits)) if other in holder]
            if mine and all(holder[other] == mine for other in inside):
                found[first, bits] = mine
                break
    return found


def agency_of(nation: Nation, site: Site) -> str | None:
    """Return the identifier of the agency that a site serves."""
    agency = nation.agency_at(site)
    return agency.id if agency is not None else None


def assert_that_the_nations_confirm(planned: Planned) -> None:
    """Assert that the difference of the two nations, built whole, is what the preview says from the steps alone."""
    before, after = planned.nations
    shown = planned.preview
    old, new = before.unit_by_code, after.unit_by_code
    stay = [(old[code], new[code]) for code in sorted(old.keys() & new.keys())]
    for count in shown.levels:
        at_level = [(one, other) for one, other in stay if one.level is count.level]
        assert (count.before, count.after) == (
            sum(unit.level is count.level for unit in before.units),
            sum(unit.level is count.level for unit in after.units),
        )
        assert count.ceased == count.before - len(at_level)
        assert count.born == count.after - len(at_level)
        assert count.renamed == sum(one.name != other.name for one, other in at_level)
        assert count.relocated == sum(
            (one.latitude, one.longitude) != (other.latitude, other.longitude) for one, other in at_level
        )
        assert count.reparented == sum(one.parent != other.parent for one, other in at_level)
    assert {change.code for change in shown.ceased} == old.keys() - new.keys()
    assert {change.code for change in shown.born} == new.keys() - old.keys()
    assert {change.code for change in shown.reparented} == {
        one.code for one, other in stay if one.parent != other.parent
    }

    owned = [{node.name: own_addresses(nation, node) for node in nation.nodes} for nation in (before, after)]
    both = owned[0].keys() & owned[1].keys()
    rehomed = {node for node in both if owned[0][node][2:4] != owned[1][node][2:4]}
    numbers: list[dict[str, object]] = [{node.name: node.number for node in nation.nodes} for nation in (before, after)]
    assert shown.nodes == fates(*numbers)
    assert set(shown.kept) == {name for name in both if owned[0][name] == owned[1][name]}
    assert rehomed <= set(shown.nodes.changes)
    assert [(item.node, item.before, item.after) for item in shown.renumbered] == [
        (name, numbers[0][name], numbers[1][name]) for name in shown.nodes.changes
    ]
    assert shown.links == fates(links_of(before), links_of(after))
    assert shown.sessions == fates(sessions_of(before), sessions_of(after))
    assert shown.tunnels == fates(tunnels_of(before), tunnels_of(after))
    links = before.link_by_name.keys() & after.link_by_name.keys()
    assert set(shown.relabelled) == {
        name for name in links if before.link_by_name[name].communes != after.link_by_name[name].communes
    }

    for level in (UnitLevel.PROVINCE, UnitLevel.DISTRICT):
        blocks = [aggregates_of(nation, level) for nation in (before, after)]
        moved = {block for block in blocks[0].keys() | blocks[1].keys() if blocks[0].get(block) != blocks[1].get(block)}
        found = {
            (item.number, item.before, item.after, item.loopbacks[0].rpartition("/")[2])
            for item in shown.aggregates
            if item.level is level
        }
        assert found == {
            (written(first), blocks[0].get((first, bits)), blocks[1].get((first, bits)), str(32 - bits))
            for first, bits in moved
        }

    gone = before.agency_by_id.keys() - after.agency_by_id.keys()
    come = after.agency_by_id.keys() - before.agency_by_id.keys()
    renamed = {
        name
        for name in before.agency_by_id.keys() & after.agency_by_id.keys()
        if before.agency_by_id[name].name != after.agency_by_id[name].name
    }
    by_fate: dict[str, set[str]] = defaultdict(set)
    for owner in shown.owners:
        by_fate[owner.fate].add(owner.agency)
    assert (by_fate["goes"], by_fate["comes"], by_fate["renamed"]) == (gone, come, renamed)
    served = [{site.code: agency_of(nation, site) for site in nation.sites if site.unit} for nation in (before, after)]
    assert {(item.before, item.after): set(item.sites) for item in shown.handovers} == {
        pair: {code for code in served[0].keys() & served[1].keys() if (served[0][code], served[1][code]) == pair}
        for pair in {(served[0][code], served[1][code]) for code in served[0].keys() & served[1].keys()}
        if pair[0] != pair[1]
    }
    watched = {item.kind: item.fates for item in shown.watched}
    assert (watched["node"], watched["link"]) == (shown.nodes, shown.links)
    assert (watched["session"], watched["tunnel"]) == (shown.sessions, shown.tunnels)
    sites: list[dict[str, object]] = [
        {one.code: (one.name, one.latitude, one.longitude) for one in nation.units if one.parent is not None}
        for nation in (before, after)
    ]
    assert watched["site"] == fates(*sites)


def assert_that_the_waves_are_safe(planned: Planned) -> None:
    """Assert the order: above before below, below before retiring, never both planes, everything touched once."""
    before, after = planned.nations
    shown = planned.preview
    position: dict[tuple[Phase, str], list[int]] = defaultdict(list)
    for index, wave in enumerate(shown.waves):
        assert wave.nodes
        planes = {(after if name in after.node_by_name else before).node_by_name[name].plane for name in wave.nodes}
        assert len(planes - {None}) <= 1
        for name in wave.nodes:
            position[wave.phase, name].append(index)
    assert [wave.phase for wave in shown.waves] == sorted(
        (wave.phase for wave in shown.waves), key=lambda phase: list(Phase).index(phase)
    )
    for (phase, name), found in position.items():
        is_router_of_province = phase is Phase.MOVE and name.startswith("province-")
        assert len(found) == (len(after.planes) if is_router_of_province else 1)
    for name in shown.nodes.goes:
        assert position[Phase.RETIRE, name]
        assert not position[Phase.BUILD, name]
        assert not position[Phase.MOVE, name]
    for name in shown.nodes.comes:
        assert bool(position[Phase.BUILD, name]) != bool(position[Phase.MOVE, name])
    for link in (*shown.links.comes, *shown.links.changes):
        lower, _, upper = link.partition("--")
        first = (position[Phase.MOVE, lower] or position[Phase.BUILD, lower])[0]
        assert position[Phase.BUILD, upper][0] < first
    for link in (*shown.links.goes, *shown.links.changes):
        lower, _, upper = link.partition("--")
        if lower in after.node_by_name:
            assert position[Phase.MOVE, lower][-1] < position[Phase.RETIRE, upper][0]
        else:
            assert position[Phase.RETIRE, lower][0] <= position[Phase.RETIRE, upper][0]
    moves = [wave for wave in shown.waves if wave.phase is Phase.MOVE]
    communes = [wave for wave in moves if wave.nodes[0].startswith("commune-")]
    assert not communes or len(communes[0].nodes) == 1
    assert all({after.node_by_name[name].site.province for name in wave.nodes} == {wave.province} for wave in moves)


def addresses_of(nation: Nation) -> Iterator[object]:
    """Yield every address of every interface and tunnel."""
    for node in nation.nodes:
        yield from (node.loopback.ipv4, node.loopback.ipv6, node.management4, node.management6)
        ends: tuple[Interface | Tunnel, ...] = (*node.interfaces, *node.tunnels)
        for item in ends:
            yield from (item.ipv4.ip, item.ipv6.ip)


def assert_sound(planned: Planned) -> None:
    """Assert what must hold of every plan."""
    assert_that_the_nations_confirm(planned)
    assert_that_the_waves_are_safe(planned)
    assert planned.is_undone_exactly
    counted = Counter(addresses_of(planned.nations[1]))
    assert [address for address, count in counted.items() if count > 1] == []


@pytest.fixture
def movable(declaration: Path) -> Path:
    """Return a copy of the rehearsal whose every province may cease, and has an agency by the rule."""
    replaced(declaration / "clusters.yaml", 'site: "19"', "site: hn")
    replaced(declaration / "agencies.yaml", "agencies:", f"{RULE}agencies:")
    return declaration


@pytest.mark.parametrize(
    "steps",
    [
        ("remove_level: {level: district}",),
        ('merge: {into: "19", units: ["92"], name: "Tỉnh Mới"}',),
        (
            'move: {unit: "164", to: "92"}',
            'rename: {unit: "19", latitude: 10.1}',
            'rename: {unit: "92", name: "Tỉnh Ba"}',
        ),
        (f'split: {{unit: "19", units: [{NEW_PROVINCE}], children: [{{unit: "916", to: "21"}}]}}',),
    ],
    ids=["a level goes", "provinces merge", "a district moves and a province is homed elsewhere", "a province splits"],
)
@pytest.mark.parametrize("addresses", ["keep", "renumber"])
def test_the_nations_confirm_the_preview(movable: Path, tmp_path: Path, steps: tuple[str, ...], addresses: str) -> None:
    """What the steps say of nodes, links, sessions, prefixes, agencies and waves is what the two nations say."""
    file = written_reform(tmp_path, *steps, before=f"addresses: {addresses}\n")
    assert_sound(plan_reform(movable, file, today=TODAY))


def test_who_gets_other_addresses_is_told_why(movable: Path, tmp_path: Path) -> None:
    """Each node that is renumbered has the nearest reason: its own move, its parent's, or a place that was taken."""
    replaced(movable / "units.csv", "31117,commune", "05501,commune,Phường Thử,92,10.0,105.7\n31117,commune")
    file = written_reform(
        tmp_path,
        'move: {unit: "164", to: "92"}',
        'move: {unit: "31120", to: "92"}',
        'move: {unit: "05501", to: "164"}',
        before="addresses: renumber\n",
    )
    preview = plan_reform(movable, file, today=TODAY).preview
    assert {item.node: (item.why, item.detail) for item in preview.renumbered} == {
        "district-164": (Why.REPARENTED, "re-parented from 19 to 92"),
        "commune-05440": (Why.PARENT_RENUMBERED, "164, which it lies in, has other addresses"),
        "commune-05446": (Why.PARENT_RENUMBERED, "164, which it lies in, has other addresses"),
        "commune-31120": (Why.REPARENTED, "re-parented from 916 to 92"),
        "commune-05501": (Why.SLOT_TAKEN, "its usual place is that of 05440"),
    }


def test_an_agency_whose_province_ceases_must_be_declared_anew(movable: Path, tmp_path: Path) -> None:
    """One that the rule made simply goes; a declared one is listed with its line, and serves nobody in the plan."""
    preview = plan_reform(movable, written_reform(tmp_path, 'merge: {into: "92", units: ["19"]}'), today=TODAY).preview
    (owner,) = preview.owners
    assert (owner.agency, owner.unit, owner.heir, owner.heirs_agency) == ("ubnd-thainguyen", "19", "92", "ubnd-92")
    assert owner.place == f"{movable}/agencies.yaml:10"
    assert [(item.before, item.after) for item in preview.handovers] == [("ubnd-thainguyen", "ubnd-92")]


def invoked(declaration: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `cgc nation reform plan` and return its exit code and what it wrote to stdout and stderr."""
    given = ["--declaration", str(declaration), "nation", "reform", "plan", *arguments]
    result = runner.invoke(app, given, prog_name="cgc")
    return result.exit_code, result.stdout, result.stderr


def test_a_plan_is_shown_and_nothing_is_written(declaration: Path, tmp_path: Path) -> None:
    """The table has the counts, JSON every name behind them; without --out no file changes."""
    file = written_reform(tmp_path, "remove_level: {level: district}")
    before = tree_of(tmp_path)
    code, table, _ = invoked(declaration, str(file))
    assert code == ExitCode.AS_DECLARED
    assert "inverse restores hash before" in table
    code, text, _ = invoked(declaration, str(file), "--json")
    assert code == ExitCode.AS_DECLARED
    shown = json.loads(text)
    assert next(row for row in shown["levels"] if row["level"] == "district")["ceased"] == 2
    assert shown["nodes"]["go"] == ["district-164", "district-916"]
    assert len(shown["nodes"]["keep"]) == 17
    assert "commune-05440--province-19" in shown["links"]["come"]
    assert [row["subject"] for row in shown["overrides_written"]] == ["05440", "05446", "31117", "31120"]
    assert [row["heir"] for row in shown["units_ceased"]] == ["19", "92"]
    assert shown["units_reparented"][0]["steps"] == [f"{file}:{FIRST_STEP}"]
    assert "NodeUnreachable" in next(row for row in shown["watched"] if row["kind"] == "node")["alerts"]
    assert "TunnelSilent" in next(row for row in shown["watched"] if row["kind"] == "tunnel")["alerts"]
    assert "LinkDown" in next(row for row in shown["watched"] if row["kind"] == "link")["alerts"]
    assert shown["waves"][-1]["phase"] == "retire"
    assert shown["written_to"] is None
    assert tree_of(tmp_path) == before


def test_the_result_is_a_declaration_that_the_inverse_leads_back_from(declaration: Path, tmp_path: Path) -> None:
    """--out writes a sound declaration; planning its inverse arrives at the hash that there was before."""
    replaced(
        declaration / "overrides" / "network.yaml",
        "overrides: []",
        'overrides:\n  - {subject: "05446", fact: link_class, value: district, who: a, why: b, until: 2099-01-01}\n'
        '  - {subject: "92", fact: homed_at, value: hn, who: a, why: b, until: 2099-01-01}  # as decided',
    )
    file = written_reform(
        tmp_path,
        'merge: {into: "05440", units: ["05446"]}',
        "remove_level: {level: district}",
        before='scheme: "2025"\n',
    )
    before = tree_of(declaration)
    code, text, _ = invoked(declaration, str(file), "--out", str(tmp_path / "new"), "--json")
    assert code == ExitCode.AS_DECLARED
    there = json.loads(text)
    assert tree_of(declaration) == before
    assert not list(tmp_path.glob(".new*"))
    nation = load_nation(tmp_path / "new")
    assert (nation.scheme, len(nation.with_role(Role.DISTRICT)), len(nation.with_role(Role.COMMUNE))) == ("2025", 0, 3)
    assert {item.who for item in nation.overrides} == {"Nghị quyết 1/2026", "a"}
    assert (tmp_path / "new" / "clusters.yaml").read_bytes() == (declaration / "clusters.yaml").read_bytes()
    code, text, _ = invoked(
        tmp_path / "new", str(tmp_path / "new" / "inverse.yaml"), "--out", str(tmp_path / "back"), "--json"
    )
    assert code == ExitCode.AS_DECLARED
    back = json.loads(text)
    assert there["hash_before"] != there["hash_after"]
    assert (back["hash_before"], back["hash_after"]) == (there["hash_after"], there["hash_before"])
    again = load_nation(tmp_path / "back")
    assert again.units == load_nation(declaration).units
    assert (again.nodes, again.links) == (load_nation(declaration).nodes, load_nation(declaration).links)


def test_files_of_overrides_that_do_not_change_are_kept_as_they_are(declaration: Path, tmp_path: Path) -> None:
    """Whoever wrote a comment beside an override finds it again."""
    file = written_reform(tmp_path, "remove_level: {level: district}")
    write_declaration(plan_reform(declaration, file, today=TODAY), tmp_path / "new")
    kept = (tmp_path / "new" / "overrides" / "network.yaml").read_bytes()
    assert kept == (declaration / "overrides" / "network.yaml").read_bytes()
    assert (tmp_path / "new" / "overrides" / "reform-test.yaml").is_file()


def test_an_empty_directory_is_as_good_as_a_new_one(declaration: Path, tmp_path: Path) -> None:
    """--out fills an empty directory."""
    (tmp_path / "new").mkdir()
    file = written_reform(tmp_path, DISTRICT_MOVES)
    assert invoked(declaration, str(file), "--out", str(tmp_path / "new"))[0] == ExitCode.AS_DECLARED
    assert load_nation(tmp_path / "new").unit_by_code["164"].parent == "92"


@pytest.mark.parametrize("out", ["full", "file", "nowhere/new"])
def test_a_directory_that_is_not_free_is_refused(declaration: Path, tmp_path: Path, out: str) -> None:
    """What is there is never written over, and no path is made up."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    file = written_reform(tmp_path, DISTRICT_MOVES)
    before = tree_of(tmp_path)
    code, shown, said = invoked(declaration, str(file), "--out", str(tmp_path / out))
    assert (code, shown) == (ExitCode.WRONG_INPUT, "")
    assert "CGC-129" in said
    assert str(tmp_path / out) in said
    assert tree_of(tmp_path) == before


def test_a_declaration_is_written_whole_or_not_at_all(
    declaration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk refuses a file, nothing stays behind, neither under the name that was asked for nor beside it."""

    def refuse(path: Path, content: bytes) -> None:
        if path.name == "inverse.yaml":
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("scripts.reforming.write_new", refuse)
    file = written_reform(tmp_path, DISTRICT_MOVES)
    before = tree_of(tmp_path)
    code, shown, said = invoked(declaration, str(file), "--out", str(tmp_path / "new"))
    assert (code, shown) == (ExitCode.FAILED, "")
    assert "No space left" in said
    assert tree_of(tmp_path) == before


def test_a_result_that_could_not_be_undone_is_not_written(
    declaration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the inverse ever lead elsewhere, the plan says so, fails and writes nothing."""
    file = written_reform(tmp_path, DISTRICT_MOVES)
    planned = replace(plan_reform(declaration, file, today=TODAY), hash_undone="elsewhere")
    monkeypatch.setattr("scripts.reforming.plan_reform", lambda *_, **__: planned)
    code, text, _ = invoked(declaration, str(file), "--out", str(tmp_path / "new"), "--json")
    assert code == ExitCode.FAILED
    assert (json.loads(text)["inverse_restores_hash_before"], json.loads(text)["written_to"]) == (False, None)
    assert not (tmp_path / "new").exists()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A reform that cannot be done: its steps and further keys before them, and the code and line of the refusal."""

    name: str
    steps: tuple[str, ...]
    keys: str = ""
    code: str
    line: int


REFUSED = [
    Refused(name="a merge into itself", steps=('merge: {into: "92", units: ["92"]}',), code="CGC-122", line=6),
    Refused(name="an unknown unit", steps=(DISTRICT_MOVES, 'move: {unit: "165", to: "92"}'), code="CGC-121", line=7),
    Refused(name="two keys", steps=(f"{{rename: {{unit: VN, name: x}}, {DISTRICT_MOVES}}}",), code="CGC-120", line=6),
    Refused(name="a birth of what exists", code="CGC-123", line=6,
            steps=(f'split: {{unit: "19", units: [{NEW_PROVINCE.replace("21", "92")}]}}',)),
    Refused(name="a move to the wrong level", steps=('move: {unit: "164", to: "916"}',), code="CGC-124", line=6),
    Refused(name="a level that is there", steps=(f"add_level: {{level: district, units: [{NEW_DISTRICT}]}}",),
            code="CGC-125", line=6),
    Refused(name="nothing to do", steps=('rename: {unit: "164"}',), code="CGC-126", line=6),
    Refused(name="a cluster whose site ceases", steps=(DISTRICT_MOVES, 'merge: {into: "92", units: ["19"]}'),
            code="CGC-127", line=7),
    Refused(name="an override that is not there", steps=(DISTRICT_MOVES,), code="CGC-128", line=6,
            keys='drop:\n  - {subject: "19", fact: homed_at}\n'),
    Refused(name="a place off the earth", steps=('rename: {unit: "92", latitude: 91}',), code="CGC-106", line=6),
    Refused(name="a district in the scheme of 2025", steps=(DISTRICT_MOVES, 'rename: {unit: "916", name: x}'),
            keys='scheme: "2025"\n', code="CGC-107", line=7),
    Refused(name="addresses kept until long ago", steps=("remove_level: {level: district}",), code="CGC-115", line=5,
            keys="addresses: keep\nkeep_until: 2025-01-01\n"),
]  # fmt: skip


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    declaration: Path, tmp_path: Path, refused: Refused
) -> None:
    """Exit code 2, the file and line of what is wrong, what to do instead; not even an empty directory is left."""
    file = written_reform(tmp_path, *refused.steps, before=refused.keys)
    before = tree_of(tmp_path)
    exit_code, shown, said = invoked(declaration, str(file), "--out", str(tmp_path / "new"), "--json")
    assert (exit_code, shown) == (ExitCode.WRONG_INPUT, "")
    error = json.loads(said)["error"]
    assert (error["code"], error["where"]) == (refused.code, f"{file}:{refused.line}")
    assert error["remedy"]
    assert tree_of(tmp_path) == before


def test_a_reform_that_is_not_there_is_refused(declaration: Path, tmp_path: Path) -> None:
    """A mistyped name is an input error."""
    code, shown, said = invoked(declaration, str(tmp_path / "none.yaml"))
    assert (code, shown) == (ExitCode.WRONG_INPUT, "")
    assert f"{tmp_path}/none.yaml:1" in said


LEVELS = (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE)
DIGITS = {UnitLevel.PROVINCE: (2, 99), UnitLevel.DISTRICT: (3, 999), UnitLevel.COMMUNE: (5, 12_000)}
PLACES = st.tuples(st.integers(850, 2330), st.integers(10_210, 10_940))
NAMES = st.sampled_from(['Xã "Một"', "Phường Hai, ba", "Đặc khu Bốn", "Huyện Năm: sáu", "Tỉnh #7"])


def unit(draw: st.DrawFn, level: UnitLevel, parent: str, known: set[str]) -> Unit:
    """Draw a unit with a code that nobody ever had."""
    digits, highest = DIGITS[level]
    codes = st.integers(1, highest).map(lambda code: f"{code:0{digits}}").filter(lambda code: code not in known)
    code = draw(codes)
    known.add(code)
    latitude, longitude = draw(PLACES)
    return Unit(
        code=code,
        level=level,
        name=draw(NAMES),
        parent=parent,
        latitude=latitude / 100,
        longitude=longitude / 100,
    )


@st.composite
def nations(draw: st.DrawFn) -> tuple[tuple[Unit, ...], tuple[Override, ...], set[str]]:
    """Draw a small nation's units and overrides, and the codes that are used."""
    known: set[str] = set()
    made = [Unit(code="VN", level=UnitLevel.COUNTRY, name="Việt Nam", latitude=16.0, longitude=106.0)]
    for _ in range(draw(st.integers(2, 4))):
        province = unit(draw, UnitLevel.PROVINCE, "VN", known)
        made.append(province)
        made += [unit(draw, UnitLevel.COMMUNE, province.code, known) for _ in range(draw(st.integers(0, 2)))]
        for _ in range(draw(st.integers(0, 3))):
            district = unit(draw, UnitLevel.DISTRICT, province.code, known)
            made.append(district)
            made += [unit(draw, UnitLevel.COMMUNE, district.code, known) for _ in range(draw(st.integers(0, 3)))]
    facts = {code: {"number": written(number)} for code, number in settled(made, ()).items()}
    for one in draw(st.lists(st.sampled_from(made[1:]), max_size=3, unique=True)):
        is_province = one.level is UnitLevel.PROVINCE
        facts.setdefault(one.code, {}).update({"homed_at": "hcm"} if is_province else {"link_class": "district"})
    overrides = tuple(
        Override(subject=code, fact=fact, value=value, who="an.ng", why="x", until=date(2099, 1, 1))
        for code, values in facts.items()
        for fact, value in values.items()
    )
    return tuple(made), overrides, known


def action(draw: st.DrawFn, units: tuple[Unit, ...], known: set[str]) -> Action | None:
    """Draw an action that the state admits; None where there is none of the kind drawn."""
    by_level = {level: sorted(one.code for one in units if one.level is level) for level in UnitLevel}
    by_code = {one.code: one for one in units}
    below = [code for level in LEVELS for code in by_level[level]]
    match draw(
        st.sampled_from(["remove_level", "merge", "merge", "rename", "move", "move", "split", "split", "add_level"])
    ):
        case "remove_level":
            return RemoveLevel(level=UnitLevel.DISTRICT) if by_level[UnitLevel.DISTRICT] else None
        case "merge":
            several = [level for level in LEVELS if len(by_level[level]) > 1]
            if not several:
                return None
            codes = draw(st.permutations(by_level[draw(st.sampled_from(several))]))[:4]
            count = draw(st.integers(0, len(codes) - 1))
            name, latitude = draw(st.one_of(st.none(), NAMES)), draw(st.one_of(st.none(), st.just(12.25)))
            return Merge(
                into=codes[0],
                units=tuple(codes[1 : 1 + count]),
                parts_of=tuple(codes[1 + count :]),
                name=name,
                latitude=latitude,
            )
        case "rename":
            latitude, longitude = draw(PLACES)
            return Rename(unit=draw(st.sampled_from(below)), name=draw(NAMES), longitude=longitude / 100)
        case "move":
            moved = by_code[draw(st.sampled_from(below))]
            parents = [code for level in ABOVE[moved.level] for code in by_level[level] if code != moved.parent]
            return Move(unit=moved.code, to=draw(st.sampled_from(parents))) if parents else None
        case "split":
            whole = by_code[draw(st.sampled_from(below))]
            born = tuple(unit(draw, whole.level, whole.parent or "", known) for _ in range(draw(st.integers(1, 2))))
            return Split(unit=whole.code, units=born, children=children(draw, units, born))
        case _:
            if by_level[UnitLevel.DISTRICT]:
                return None
            provinces = st.sampled_from(by_level[UnitLevel.PROVINCE])
            born = tuple(unit(draw, UnitLevel.DISTRICT, draw(provinces), known) for _ in range(draw(st.integers(1, 3))))
            return AddLevel(level=UnitLevel.DISTRICT, units=born, children=children(draw, units, born))


def children(draw: st.DrawFn, units: tuple[Unit, ...], born: tuple[Unit, ...]) -> tuple[Move, ...]:
    """Draw some units for those that are born."""
    fit = [one.code for one in units if born[0].level in ABOVE.get(one.level, ())]
    if not fit:
        return ()
    chosen = draw(st.lists(st.sampled_from(fit), max_size=4, unique=True))
    return tuple(Move(unit=code, to=draw(st.sampled_from([one.code for one in born]))) for code in chosen)


@st.composite
def reforms(draw: st.DrawFn) -> tuple[tuple[Unit, ...], tuple[Override, ...], Reform]:
    """Draw a small nation and a reform of one to eight steps that it admits."""
    units, overrides, known = draw(nations())
    reform = Reform(
        name="random",
        title=Text(vi="Ngẫu nhiên", en="At random"),
        decided_by="Nghị quyết 1/2026",
        in_force=date(2026, 7, 1),
        steps=(),
        addresses=AddressPolicy.LISTED,
    )
    steps: list[Step] = []
    now = units
    for _ in range(draw(st.integers(1, 8))):
        drawn = action(draw, now, known)
        if drawn is not None:
            steps.append(step_of(drawn))
            now = apply(replace(reform, steps=(steps[-1],)), now, (), scheme="2021").units
    if not steps:
        steps.append(Step(rename=Rename(unit="VN", name="Việt Nam mới")))
    policy = draw(st.sampled_from([AddressPolicy.KEEP, AddressPolicy.RENUMBER]))
    return units, overrides, replace(reform, steps=tuple(steps), addresses=policy)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=reforms())
def test_any_reform_is_sound_foreseen_and_undone(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[tuple[Unit, ...], tuple[Override, ...], Reform]
) -> None:
    """Whatever steps come after each other: no overlap, no orphan, a preview that holds, an inverse that restores."""
    units, overrides, reform = drawn
    tmp_path = tmp_path_factory.mktemp("random")
    directory = shutil.copytree(INVENTORIES / "rehearsal", tmp_path / "declaration")
    replaced(directory / "clusters.yaml", 'site: "19"', "site: hn")
    replaced(directory / "agencies.yaml", ', unit: "19"', f', unit: "{units[1].code}"')
    replaced(directory / "agencies.yaml", "agencies:", f"{RULE}agencies:")
    (directory / "units.csv").write_text(units_text(units), encoding="utf-8")
    (directory / "overrides" / "network.yaml").write_text(overrides_text(overrides), encoding="utf-8")
    (tmp_path / "reform.yaml").write_text(reform_text(reform), encoding="utf-8")
    planned = plan_reform(directory, tmp_path / "reform.yaml", today=TODAY)
    assert_sound(planned)
    if reform.addresses is AddressPolicy.KEEP:
        assert planned.preview.renumbered == ()
    replaced(directory / "agencies.yaml", f', unit: "{units[1].code}"', "")  # which may have ceased
    written_once = plan_reform(directory, tmp_path / "reform.yaml", today=TODAY)
    write_declaration(written_once, tmp_path / "new")
    back = plan_reform(tmp_path / "new", tmp_path / "new" / "inverse.yaml", today=TODAY)
    assert_sound(back)
    assert (back.hash_before, back.hash_after) == (written_once.hash_after, written_once.hash_before)
    assert back.after.units == written_once.before.units
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_the_reform_of_2025_is_a_command(tmp_path: Path) -> None:
    """From 63 provinces, 696 districts and 10,040 communes to 34 and 3,321: planned, confirmed, written and undone."""
    old, new = INVENTORIES / "nation-2021", INVENTORIES / "nation-2025"
    planned = plan_reform(old, old / "reforms" / "2025-07.yaml", today=TODAY)
    write_declaration(planned, tmp_path / "new")
    rows = Reader(new).read_rows("units.csv", Unit)
    assert planned.after.units == tuple(sorted(rows, key=lambda one: one.code))
    assert_sound(planned)
    assert planned.preview.renumbered == ()
    assert load_nation(tmp_path / "new").units == planned.after.units
    back = plan_reform(tmp_path / "new", tmp_path / "new" / "inverse.yaml", today=TODAY)
    assert (back.hash_before, back.hash_after) == (planned.hash_after, planned.hash_before)
    assert back.after.units == planned.before.units
