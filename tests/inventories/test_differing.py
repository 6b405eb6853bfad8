"""What differs between two declarations is said as people say it: every fact that changed, each cause once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from inventories.declaration import ClustersFile, Declaration, PlatformsFile
from inventories.differing import Change, Difference, Kind, differences
from inventories.loading import load_declaration
from inventories.model import Override

INVENTORIES = Path(__file__).parents[2] / "inventories"
TODAY = datetime.now(UTC).date()
Changing = Callable[[str, str, str], Path]


@pytest.fixture(scope="module")
def rehearsal() -> Declaration:
    """Return the rehearsal's declaration."""
    return load_declaration(INVENTORIES / "rehearsal")[0]


def found(before: Declaration, directory: Path) -> list[Difference]:
    """Return what a changed copy differs in."""
    return [*differences(before, load_declaration(directory)[0])]


def test_a_declaration_does_not_differ_from_itself(rehearsal: Declaration, declaration: Path) -> None:
    """Nor from a copy elsewhere."""
    assert differences(rehearsal, rehearsal) == ()
    assert found(rehearsal, declaration) == []


def test_a_unit_is_renamed(rehearsal: Declaration, change: Changing) -> None:
    """Its name and nothing else: router and addresses are the same."""
    directory = change("units.csv", "Phường An Hòa", "Phường An Hoà")
    assert found(rehearsal, directory) == [
        Difference(
            kind=Kind.UNIT,
            subject="31120",
            change=Change.RENAMED,
            what="name",
            before="Phường An Hòa",
            after="Phường An Hoà",
            name="Phường An Hoà",
            province="92",
        )
    ]


def test_a_unit_has_another_parent(rehearsal: Declaration, change: Changing) -> None:
    """The cause, and the two things that somebody must act upon: other addresses, another way up."""
    directory = change("units.csv", "31120,commune,Phường An Hòa,916", "31120,commune,Phường An Hòa,164")
    told = {(one.kind, one.change): one for one in found(rehearsal, directory)}
    assert set(told) == {(Kind.UNIT, Change.REPARENTED), (Kind.NODE, Change.RENUMBERED), (Kind.LINK, Change.REROUTED)}
    assert all(one.province == "19" for one in told.values())
    assert (told[Kind.UNIT, Change.REPARENTED].before, told[Kind.UNIT, Change.REPARENTED].after) == ("916", "164")
    renumbered = told[Kind.NODE, Change.RENUMBERED]
    assert (renumbered.subject, renumbered.what) == ("commune-31120", "loopback, management, links, tunnels, prefixes")
    assert (renumbered.before, renumbered.after) == ("92.2.11", "19.43.11")
    rerouted = told[Kind.LINK, Change.REROUTED]
    assert (rerouted.subject, rerouted.before, rerouted.after) == ("commune-31120", "district-916", "district-164")


def test_a_unit_comes_or_goes_with_its_router_and_its_way_up(rehearsal: Declaration, change: Changing) -> None:
    """One difference, not three."""
    directory = change("units.csv", "31120,commune,Phường An Hòa,916,10.045450,105.768861\n", "")
    (gone,) = found(rehearsal, directory)
    assert (gone.kind, gone.subject, gone.change, gone.before, gone.province) == (
        Kind.UNIT,
        "31120",
        Change.REMOVED,
        "commune",
        "92",
    )
    (came,) = differences(load_declaration(directory)[0], rehearsal)
    assert (came.subject, came.change, came.after) == ("31120", Change.ADDED, "commune")


def test_a_unit_moves(rehearsal: Declaration, change: Changing) -> None:
    """However little: what is compared is not rounded."""
    (moved,) = found(rehearsal, change("units.csv", "10.045450", "10.045451"))
    assert (moved.change, moved.before, moved.after) == (Change.MOVED, "10.04545, 105.768861", "10.045451, 105.768861")


def test_a_province_is_homed_elsewhere(rehearsal: Declaration, declaration: Path) -> None:
    """An override begins; the province's home and both of its ways up follow."""
    (declaration / "overrides" / "homes.yaml").write_text(
        "overrides:\n"
        f"  - {{subject: '92', fact: homed_at, value: hn, who: mic, why: flood, until: {TODAY + timedelta(days=9)}}}\n",
        encoding="utf-8",
    )
    told = [(one.kind, one.subject, one.change, one.before, one.after) for one in found(rehearsal, declaration)]
    assert told == [
        (Kind.UNIT, "92", Change.REHOMED, "hcm", "hn"),
        (Kind.LINK, "province-92/a", Change.REROUTED, "core-a-hcm", "core-a-hn"),
        (Kind.LINK, "province-92/b", Change.REROUTED, "core-b-hcm", "core-b-hn"),
        (Kind.OVERRIDE, "92.homed_at", Change.BEGUN, None, "hn"),
    ]


def test_an_override_ends_or_is_prolonged(rehearsal: Declaration) -> None:
    """Until when, by whom and why are facts, too; in which file it stands is none."""
    override = Override(
        subject="92", fact="number", value="92.0.0", who="mic", why="kept", until=TODAY, place="a.yaml:1"
    )
    before = replace(rehearsal, overrides=(override,))
    (ended,) = differences(before, rehearsal)
    assert (ended.kind, ended.change, ended.before, ended.province) == (Kind.OVERRIDE, Change.ENDED, "92.0.0", "92")
    longer = replace(override, until=date(2099, 1, 1), place="b.yaml:7")
    (prolonged,) = differences(before, replace(rehearsal, overrides=(longer,)))
    assert (prolonged.what, prolonged.after) == ("until", "2099-01-01")
    assert differences(before, replace(rehearsal, overrides=(replace(override, place="b.yaml:7"),))) == ()


def test_a_platform_moves(rehearsal: Declaration, change: Changing) -> None:
    """Whence and whither, and which agency gains and loses a room where."""
    told = {(one.kind, one.subject, one.change) for one in found(rehearsal, change("platforms.yaml", "clusters: [cgc-south]", "clusters: [cgc-north]"))}  # fmt: skip # noqa: E501 - one expression
    assert told == {
        (Kind.PLATFORM, "open-data", Change.MOVED),
        (Kind.TENANCY, "mic-open-data on cgc-south", Change.ENDED),
        (Kind.TENANCY, "mic-open-data on cgc-north", Change.BEGUN),
    }


def test_replicas_and_shares_change(rehearsal: Declaration, change: Changing) -> None:
    """One difference a fact, with what it was and is."""
    directory = change("platforms.yaml", "replicas: 2", "replicas: 3")
    (more,) = found(rehearsal, directory)
    assert (more.subject, more.change, more.what, more.before, more.after) == (
        "nixa",
        Change.CHANGED,
        "replicas",
        "2",
        "3",
    )
    change("platforms.yaml", "memory_mib: 512", "memory_mib: 1024")
    assert {one.what for one in found(rehearsal, directory)} == {"replicas", "share"}


def test_a_link_of_the_backbone_takes_another_route(rehearsal: Declaration, change: Changing) -> None:
    """A declared route is told; routes that follow from their ends are not told beside them."""
    (rerouted,) = found(rehearsal, change("network.yaml", 'route: "QL1"', 'route: "Cao tốc Bắc - Nam"'))
    assert (rerouted.kind, rerouted.subject, rerouted.change) == (Kind.LINK, "core-a-hcm--core-a-hn", Change.REROUTED)
    assert (rerouted.before, rerouted.after) == ("QL1", "Cao tốc Bắc - Nam")


def test_a_link_of_the_backbone_goes(rehearsal: Declaration) -> None:
    """The link itself, since both of its ends stay."""
    network = replace(rehearsal.network, backbone=rehearsal.network.backbone[:1])
    (gone,) = differences(rehearsal, replace(rehearsal, network=network))
    assert (gone.kind, gone.subject, gone.change, gone.before) == (
        Kind.LINK,
        "core-b-hcm--core-b-hn",
        Change.REMOVED,
        "backbone",
    )


def test_a_class_of_links_becomes_faster(rehearsal: Declaration, change: Changing) -> None:
    """One cause, not one difference for each of its links."""
    (faster,) = found(rehearsal, change("network.yaml", "capacity_mbps: 50}", "capacity_mbps: 100}"))
    assert (faster.kind, faster.subject, faster.what, faster.after) == (
        Kind.LINK_CLASS,
        "access",
        "capacity_mbps",
        "100",
    )


def test_a_host_has_another_number(rehearsal: Declaration, change: Changing) -> None:
    """Its addresses and its AS number follow; the cluster itself does not differ."""
    (host,) = found(rehearsal, change("clusters.yaml", "number: 103", "number: 113"))
    assert (host.kind, host.subject, host.change, host.province) == (Kind.NODE, "agc-tn-1", Change.RENUMBERED, "19")
    assert "AS number" in host.what


def test_a_host_joins_a_cluster(rehearsal: Declaration, change: Changing) -> None:
    """A node came, in the province of its cluster; its way up came with it."""
    directory = change("clusters.yaml", "{name: agc-tn-1, number: 103}", "{name: agc-tn-1, number: 103}, {name: agc-tn-2, number: 105}")  # fmt: skip # noqa: E501 - the text as it stands
    (host,) = found(rehearsal, directory)
    assert (host.kind, host.subject, host.change, host.after) == (Kind.NODE, "agc-tn-2", Change.ADDED, "agc-thainguyen")


def test_a_cluster_goes_with_all_that_was_on_it(rehearsal: Declaration) -> None:
    """Its hosts, their ways up, and the rooms on it are not told again."""
    clusters = tuple(one for one in rehearsal.clusters.clusters if one.id != "egc-demo")
    platforms = tuple(one for one in rehearsal.platforms.platforms if one.id != "govtech")
    told = differences(
        rehearsal,
        replace(rehearsal, clusters=ClustersFile(clusters=clusters), platforms=PlatformsFile(platforms=platforms)),
    )
    assert [(one.kind, one.subject, one.change) for one in told] == [
        (Kind.CLUSTER, "egc-demo", Change.REMOVED),
        (Kind.PLATFORM, "govtech", Change.REMOVED),
    ]


def test_differences_are_sorted(rehearsal: Declaration, change: Changing) -> None:
    """What concerns the whole nation first, then province by province, and the same way each time."""
    change("units.csv", "Phường An Hòa", "Phường An Hoà")
    change("agencies.yaml", "truc-ban@thainguyen", "truc@thainguyen")
    directory = change("network.yaml", "hold: 9s", "hold: 12s")
    assert [(one.province, one.subject) for one in found(rehearsal, directory)] == [
        (None, "bgp"),
        ("19", "ubnd-thainguyen"),
        ("92", "31120"),
    ]


# What other facts refer to, so that it cannot be changed alone, and what is no fact of the nation.
REFERRED_TO = {
    *("attached_to", "backs_up", "based_on", "clusters", "code", "ends", "hosts", "id", "kind", "level", "link_class"),
    *("objective", "operator", "owner", "parent", "place", "plane", "site", "sites", "unit"),
}


def mutations(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the value with one fact changed, for every fact in it that can be changed alone."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            is_name_of_row = field.name == "name" and isinstance(getattr(value, "name", None), str)
            if field.name in REFERRED_TO or (is_name_of_row and not hasattr(value, "latitude")):
                continue
            for where, changed in mutations(getattr(value, field.name), f"{path}.{field.name}"):
                yield where, replace(value, **{field.name: changed})
        return
    if isinstance(value, tuple) and any(is_dataclass(member) for member in value):
        for index, member in enumerate(value):
            for where, changed in mutations(member, f"{path}[{index}]"):
                yield where, (*value[:index], changed, *value[index + 1 :])
        return
    changed = other_than(value)
    if changed is not None:
        yield path, changed


def other_than(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case Enum():
            return next(member for member in type(value) if member is not value)
        case bool():
            return not value
        case str():
            return f"{value} x"
        case int() | float():
            return value + 1
        case timedelta() | date():
            return value + timedelta(days=1)
        case IPv4Network() | IPv6Network():
            return type(value)((int(value.network_address) + value.num_addresses, value.prefixlen))
        case tuple():
            return (*value, "x") if value and isinstance(value[0], str) else None
        case None:
            return None
    raise TypeError(type(value))


def test_every_fact_that_is_declared_makes_a_difference(rehearsal: Declaration) -> None:
    """Whatever line is changed, somebody is told: no fact is overlooked, and none is told twice."""
    facts = [*mutations(rehearsal)]
    assert len(facts) > 200
    told = {where: len(differences(rehearsal, changed)) for where, changed in facts}
    assert {where: number for where, number in told.items() if number != 1} == {}


@pytest.mark.slow
def test_a_reform_of_the_whole_nation_is_told() -> None:
    """From four levels to three: every commune that stays has another parent, everything else came or went."""
    before, after = (load_declaration(INVENTORIES / f"nation-{year}", today=TODAY)[0] for year in ("2021", "2025"))
    told = differences(before, after)
    staying = {unit.code for unit in before.units} & {unit.code for unit in after.units if unit.level == "commune"}
    assert {one.subject for one in told if one.change is Change.REPARENTED} == staying
    assert {one.subject for one in told if (one.kind, one.change) == (Kind.UNIT, Change.REMOVED)} == {
        unit.code for unit in before.units
    } - {unit.code for unit in after.units}
    assert differences(after, after) == ()
