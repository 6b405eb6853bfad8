"""Vietnamese names come in the order that CLDR gives them, and are found however they are typed."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from inventories.collation import plain_form, sort_key

INVENTORIES = Path(__file__).parents[2] / "inventories"

# What `new Intl.Collator("vi", {numeric: true})` makes of these names: ICU 78.2, CLDR 48, Unicode 17.
AS_CLDR_SORTS = (
    "Huyện Ia Grai",
    "Huyện Ia H'Drai",
    "Phường 1",
    "Phường 2",
    "Phường 10",
    "Phường Lâm Hà",
    "Phường Lâm Viên - Đà Lạt",
    "Quận Dương Kinh",
    "Quận Đống Đa",
    "Thành phố Dĩ An",
    "Thành phố Đà Nẵng",
    "Tỉnh O",
    "Tỉnh Ô",
    "Tỉnh Ơ",
    "Tỉnh U",
    "Tỉnh Ư",
    "Xã Án Đổ",
    "Xã An Đức",
    "Xã Ăn Chay",
    "Xã Ấm Hạ",
    "Xã Ân Đức",
    "Xã Ea H'leo",
    "Xã Ea Hiao",
    "Xã Hòa An",
    "Xã Hoa Bình",
    "Xã Hoà Bình",
    "Xã Hỏa Tiến",
    "xã La",
    "Xã La",
    "Xã Là",
    "Xã Lả",
    "Xã Lã",
    "Xã Lá",
    "Xã Lạ",
)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_come_in_the_order_of_cldr(form: Literal["NFC", "NFD"]) -> None:
    """The order is CLDR's, whichever normalization form the names are written in."""
    shuffled = [unicodedata.normalize(form, name) for name in AS_CLDR_SORTS]
    random.Random(0).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    assert [unicodedata.normalize("NFC", name) for name in sorted(shuffled, key=sort_key)] == [*AS_CLDR_SORTS]


def test_the_letters_are_those_of_the_vietnamese_alphabet() -> None:
    """CLDR's vi.xml: &a<ă<â &d<đ &e<ê &o<ô<ơ &u<ư; a letter outweighs every tone, and f j w z keep their places."""
    alphabet = "aăâbcdđeêfghijklmnoôơpqrstuưvwxyz"
    for one, other in pairwise(alphabet):
        assert sort_key(one) < sort_key(other)
        assert sort_key(f"{one.upper()}z") < sort_key(f"{other}a")
        assert sort_key(unicodedata.normalize("NFC", f"{one}\u0323")) < sort_key(other)


def test_tones_come_in_the_order_of_cldr() -> None:
    """CLDR's vi.xml: &̀<<̉<<̃<<́<<̣, that is level, huyền, hỏi, ngã, sắc, nặng; a tone outweighs case."""
    tones = ["ma", "mà", "mả", "mã", "má", "mạ"]
    assert sorted({*tones}, key=sort_key) == tones
    for one, other in pairwise(tones):
        assert sort_key(one) < sort_key(one.upper()) < sort_key(other)


def test_canonically_equivalent_names_are_one() -> None:
    """A dot below before or after the circumflex is the same letter; other names are never equal."""
    assert sort_key("Vie\u0323\u0302t") == sort_key("Vie\u0302\u0323t") == sort_key("Việt")
    assert len({sort_key(name) for name in AS_CLDR_SORTS}) == len(AS_CLDR_SORTS)


def test_numbers_come_by_their_value() -> None:
    """Quận 2 before Quận 10, however many zeros; what has no place of its own comes last, and in one order."""
    names = ["Quận 1", "Quận 002", "Quận 3", "Quận 10", "Quận 100a", "Quận A", "Quận Ж", "Quận 日"]
    assert sorted({*names}, key=sort_key) == names
    assert sort_key("é") < sort_key("ë") < sort_key("ê")  # e with a mark that no Vietnamese letter has


def test_a_name_is_found_however_it_is_typed() -> None:
    """Marks, case, đ, hyphens and apostrophes are for readers; people in a hurry leave them out."""
    written = (
        "Thành phố Đà Nẵng",
        "THANH PHO DA NANG",
        "thanh-pho-da-nang",
        unicodedata.normalize("NFD", "Thành phố Đà Nẵng"),
    )
    assert {plain_form(name) for name in written} == {"thanh pho da nang"}
    assert plain_form("Xã Ea H'leo") == "xa ea h leo"


@pytest.mark.slow
def test_the_whole_nation_is_sorted_as_icu_sorts_it() -> None:
    """Every name of both schemes, as the ICU of a node.js on this machine sorts them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node.js, whose ICU would say how CLDR sorts")
    names: list[str] = []
    for scheme in ("2021", "2025"):
        with (INVENTORIES / f"nation-{scheme}" / "units.csv").open(encoding="utf-8") as file:
            names += [row["name"] for row in csv.DictReader(file)]
    names = sorted(set(names))
    program = """
        const names = JSON.parse(require("fs").readFileSync(0));
        const order = new Intl.Collator("vi", {numeric: true});
        if (order.resolvedOptions().locale !== "vi") process.exit(3);
        console.log(JSON.stringify(names.sort(order.compare)));
    """
    run = subprocess.run([node, "-e", program], input=json.dumps(names), capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("node.js was built without ICU's data")
    assert len(names) > 9_000
    assert sorted(names, key=sort_key) == json.loads(run.stdout)
