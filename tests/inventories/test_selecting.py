"""Things are chosen by their facts; what nobody can mean is refused with what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inventories import Nation, load_nation
from inventories.errors import InventoryError
from inventories.facts import FACTS, KINDS, Surroundings, facts_of
from inventories.model import Agency, Cluster, Link, Node, Override, Platform, Site, Unit, UnitLevel
from inventories.selecting import EVERYTHING, F, Selection, codes_of, select

DISTRICTS = {"district-164", "district-916"}
UP = {"district-164": "province-19", "district-916": "province-92"}
REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@pytest.fixture(scope="module")
def nation() -> Nation:
    """Return the rehearsal nation."""
    return load_nation(REHEARSAL)


def names(nation: Nation, kind: type[Any], where: Selection) -> set[str]:
    """Return what identifies the things that fit."""
    identifying = ("code", "id", "subject", "name")
    return {
        next(str(getattr(thing, name)) for name in identifying if hasattr(thing, name))
        for thing in select(nation, kind, where)
    }


@pytest.mark.parametrize(
    ("kind", "where", "expected"),
    [
        (Node, F(level="commune", province="19"), {"commune-05440", "commune-05446"}),
        (Node, F(role="core") & ~F(plane="a"), {"core-b-hn", "core-b-hcm"}),
        (Node, F(role="district") | F(role="province", region="south"), {*DISTRICTS, "province-92"}),
        (Node, F(role__in=("gateway", "ministry")), {"gateway-hn", "ministry-mof"}),
        (Node, F(name__startswith="commune-05"), {"commune-05440", "commune-05446"}),
        (Node, F(tier="egc"), {"egc-demo-1"}),
        (Node, F(cluster="cgc-north"), {"cgc-north-1"}),
        (Node, F(as_number=4_200_005_440), {"commune-05440"}),
        (Site, F(province="92") & F(level="commune"), {"31117", "31120"}),
        (Site, F(kind="operations"), {"noc-hn"}),
        (Site, F(access_level__atmost=1) & F(level="province"), {"19", "92"}),
        (Site, F(role="cluster"), {"hn", "hcm", "19", "gateway-hn"}),
        (Site, F(agency="btc"), {"ministry-mof"}),
        (Site, F(home="hcm") & F(level="district"), {"916"}),
        (Unit, F(district="164"), {"164", "05440", "05446"}),
        (Unit, F(level="country"), {"VN"}),
        (Link, F(link_class="backbone", plane="b"), {"core-b-hcm--core-b-hn"}),
        (Link, F(capacity_mbps__atleast=200, capacity_mbps__atmost=999), {f"{node}--{up}" for node, up in UP.items()}),
        (Link, F(route__contains="hồ chí minh"), {"core-b-hcm--core-b-hn"}),
        (Cluster, F(province="19"), {"agc-thainguyen"}),
        (Cluster, F(level="province"), {"agc-thainguyen"}),
        (Platform, F(region="south") & ~F(region="north"), {"open-data"}),
        (Platform, F(security_level=2), {"govtech"}),
        (Platform, F(needs="nixa") & F(agency="vpcp"), {"dvcqg", "document-axis"}),
        (Agency, F(province="19"), {"ubnd-thainguyen"}),
        (Agency, F(kind="enterprise"), {"dn-demo"}),
        (Override, EVERYTHING, set()),
    ],
)  # fmt: skip
def test_things_are_chosen_by_their_facts(nation: Nation, kind: type, where: Selection, expected: set[str]) -> None:
    """Each kind of thing, by facts of its own, of its nodes and of its sites."""
    assert names(nation, kind, where) == expected


def test_selections_combine_as_sets_do(nation: Nation) -> None:
    """And is intersection, or is union, not is complement, for any two conditions."""
    everything = set(select(nation, Link, EVERYTHING))
    one, other = F(region="north"), F(plane="a")
    in_one, in_other = set(select(nation, Link, one)), set(select(nation, Link, other))
    assert set(select(nation, Link, one & other)) == in_one & in_other
    assert set(select(nation, Link, one | other)) == in_one | in_other
    assert set(select(nation, Link, ~one)) == everything - in_one
    assert set(select(nation, Link, ~(one & ~other))) == everything - (in_one - in_other)


def test_a_link_lies_in_the_provinces_of_both_its_ends(nation: Nation) -> None:
    """One end in the north is enough to be northern, and `~` asks for links with none there."""
    assert "core-a-hcm--core-a-hn" in names(nation, Link, F(region="north"))
    assert "core-a-hcm--core-a-hn" in names(nation, Link, F(region="south"))
    assert "core-a-hcm--core-a-hn" not in names(nation, Link, ~F(region="north"))


@pytest.mark.parametrize(
    "asked", ["19", "Thái Nguyên", "thái nguyên", "thai nguyen", "THAINGUYEN", "tỉnh Thái Nguyên", "tinh thai nguyen"]
)
def test_a_province_is_known_by_its_code_and_its_name(nation: Nation, asked: str) -> None:
    """With marks or without, with its kind or without; who writes marks means them."""
    assert codes_of(nation, UnitLevel.PROVINCE, asked) == ("19",)
    assert codes_of(nation, UnitLevel.PROVINCE, "Thãi Nguyên") == ()
    assert codes_of(nation, UnitLevel.DISTRICT, "19") == ()


def test_names_are_compared_as_they_are_typed(nation: Nation) -> None:
    """Without marks every Hòa is meant, with marks only that one; case is for readers."""
    assert names(nation, Unit, F(name__contains="hoa")) == {"05440", "31120"}
    assert names(nation, Unit, F(name__contains="HÒA")) == {"31120"}
    assert names(nation, Unit, F(name="phường an hòa")) == {"31120"}
    assert names(nation, Platform, F(name__contains="open-data")) == {"open-data"}


@pytest.mark.parametrize(
    ("kind", "asking", "code", "said"),
    [
        (Node, lambda: F(lvel="commune"), "CGC-131", "did you mean 'level'?"),
        (Site, lambda: F(link_class="access"), "CGC-131", "sites have no fact 'link_class'"),
        (Node, lambda: F(name__like="x"), "CGC-131", "in, contains, startswith, atleast, atmost"),
        (Node, lambda: F(level__atleast=1), "CGC-131", "level is no number"),
        (Link, lambda: F(capacity_mbps__atleast="fast"), "CGC-132", "no number"),
        (Node, lambda: F(level="comune"), "CGC-132", "did you mean commune"),
        (Node, lambda: F(province="thai nguyenn"), "CGC-132", "did you mean Tỉnh Thái Nguyên (19)?"),
        (Node, lambda: F(province="can"), "CGC-132", "Thành phố Cần Thơ (92)"),
        (Node, lambda: F(province="99"), "CGC-132", "there is no province '99'"),
        (Node, lambda: F(cluster__in=("cgc-north", "cgc-nrth")), "CGC-132", "did you mean cgc-north"),
        (Node, lambda: F(plane="c"), "CGC-132", "it is one of a, b"),
    ],
)
def test_what_nobody_can_mean_is_refused(nation: Nation, kind: type, asking: Any, code: str, said: str) -> None:
    """An unknown fact or value is an error that names the nearest, not an empty answer."""
    with pytest.raises(InventoryError) as refused:
        select(nation, kind, asking())
    assert refused.value.code == code
    assert said in str(refused.value)
    assert int(refused.value.exit_code) == 2


def test_a_question_about_several_kinds_may_use_a_fact_of_one(nation: Nation) -> None:
    """What has no such fact does not meet its condition, and meets its opposite."""
    where, among = F(link_class="backbone"), (Site, Link)
    assert len(select(nation, Link, where, among=among)) == 2
    assert select(nation, Site, where, among=among) == ()
    assert len(select(nation, Site, ~where, among=among)) == len(nation.sites)


def test_every_fact_can_be_read_from_every_kind_that_has_it(nation: Nation) -> None:
    """The table holds for all: each kind is known, and what is read is among the values that are said to be known."""
    around = Surroundings(nation)
    for kind, (_, things) in KINDS.items():
        assert facts_of(kind)
        for fact in (FACTS[name] for name in facts_of(kind)):
            read = fact.reader(around, kind)
            values = {value for thing in things(nation) for value in read(thing) if value is not None}
            if fact.known is not None:
                assert {str(value) for value in values} <= {str(value) for value in fact.known(nation)}, fact.name
            assert all(isinstance(value, int) == fact.is_number for value in values), fact.name


def test_things_of_no_nation_have_no_place(nation: Nation) -> None:
    """A programming error is not taken for an empty answer."""
    with pytest.raises(TypeError):
        Surroundings(nation).sites_of(object())
