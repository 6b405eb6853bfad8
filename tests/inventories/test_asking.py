"""What people type is read by a small grammar; what it cannot read is refused at its column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventories import load_nation
from inventories.asking import parse
from inventories.errors import InventoryError
from inventories.model import Link, Node
from inventories.selecting import F, Selection, select

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
NATION = load_nation(REHEARSAL)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("level=commune & province=19", F(level="commune", province="19")),
        ("  level = commune&province=19 ", F(level="commune", province="19")),
        ("level=commune,district", F(level__in=("commune", "district"))),
        ("!plane=a", ~F(plane="a")),
        ("plane!=a & role=core", ~F(plane="a") & F(role="core")),
        ("role=core | role=district & province=19", F(role="core") | (F(role="district") & F(province="19"))),
        ("(role=core | role=district) & region=north", (F(role="core") | F(role="district")) & F(region="north")),
        ("!(role=core | level=commune)", ~(F(role="core") | F(level="commune"))),
        ("!!level=commune", F(level="commune")),
        ('province="Thái Nguyên"', F(province="19")),
        ("province='thai nguyen' & level=district", F(province="19", level="district")),
        ("name~phuong & name^=commune-05", F(name__contains="phuong", name__startswith="commune-05")),
        ("name__contains=phuong & as_number>=4200010000", F(name__contains="phuong", as_number__atleast=4_200_010_000)),
        ("name~'hòa'", F(name__contains="hòa")),
        ("as_number<=4200010000", F(as_number__atmost=4_200_010_000)),
    ],
)
def test_text_means_what_code_means(text: str, meant: Selection) -> None:
    """`!` binds closest, then `&`, then `|`; spaces do not matter, quotes keep what is in them."""
    found = select(NATION, Node, parse(text))
    assert found
    assert found == select(NATION, Node, meant)


def test_signs_belong_to_a_value_in_quotes() -> None:
    """A route's name may hold what would else be a sign; an apostrophe inside a word is a letter."""
    assert [link.name for link in select(NATION, Link, parse('route="QL1"'))] == ["core-a-hcm--core-a-hn"]
    assert select(NATION, Link, parse('route="a&b|(c)!="')) == ()
    assert select(NATION, Node, parse("name~D'Ran | name~M'ta")) == ()


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "a fact is missing: the end"),
        ("level", 6, "'level' is not compared"),
        ("level=", 7, "a value is missing: the end"),
        ("level=& plane=a", 7, "a value is missing: '&'"),
        ("level=commune,", 15, "a value is missing: the end"),
        ("level=commune province=19", 15, "'province' comes after a complete condition"),
        ("province=Thái Nguyên", 15, "write a value with spaces in quotes"),
        ("(level=commune | plane=a", 1, "never closed"),
        ("level=commune)", 14, "')' comes after"),
        ('name="An Hòa', 6, "a quote is opened and never closed"),
        ("level^commune", 6, "'^' has no meaning here"),
        ("& level=commune", 1, "a fact is missing: '&'"),
        ("level=commune & lvel=district", 17, "did you mean 'level'?"),
        (f"{'(' * 51}level=commune{')' * 51}", 51, "more than 50 deep"),
        (f"{'!' * 3000}level=commune", 51, "more than 50 deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_at_its_column(text: str, column: int, said: str) -> None:
    """The error quotes the text, names the column of what is wrong, and says what to write."""
    with pytest.raises(InventoryError) as refused:
        parse(text)
    assert f", column {column}: " in str(refused.value)
    assert said in str(refused.value)


@given(st.text(alphabet="level=commune &|!()~^<>,\"'1", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes anything but a selection or an error with a remedy."""
    try:
        found: object = parse(text)
    except InventoryError as refused:
        found = refused
    assert isinstance(found, Selection) or (isinstance(found, InventoryError) and found.remedy)
