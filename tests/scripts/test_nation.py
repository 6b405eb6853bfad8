"""`cgc nation check` and `show`: a sound declaration, and what it makes, as a table, a tree and JSON."""

from __future__ import annotations

import json
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from inventories import Nation
from inventories.collation import sort_key
from inventories.errors import ExitCode
from inventories.facts import FACTS
from inventories.selecting import F
from scripts.cli import app
from scripts.nation_tables import Part
from scripts.nation_trees import PARTS, lines_of, tree_of
from scripts.presenting import Column, Table, present

CHECKOUT = Path(__file__).parents[2]
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def ask(*words: str, declaration: str = "inventories/rehearsal") -> Result:
    """Run `cgc nation …`."""
    return runner.invoke(app, ["--declaration", str(CHECKOUT / declaration), "nation", *words], prog_name="cgc")


def shown(*words: str) -> list[dict[str, object]]:
    """Return the rows that `cgc nation show PART …` prints as JSON."""
    result = ask("show", *words, "--json")
    assert result.exit_code == ExitCode.AS_DECLARED, result.stderr
    rows: list[dict[str, object]] = json.loads(result.stdout)[words[0]]
    return rows


def test_a_sound_declaration_is_counted(declaration: Path) -> None:
    """`check` ends with 0 and says how large the nation is."""
    result = runner.invoke(app, ["nation", "check", str(declaration), "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.AS_DECLARED
    counted = json.loads(result.stdout)
    assert (counted["sound"], counted["units_by_level"]["commune"], counted["platforms"]) == (True, 4, 7)


def test_the_usual_declaration_is_the_one_named_before_the_verb(declaration: Path) -> None:
    """`--declaration` before the verb and the argument after it mean the same."""
    (declaration / "nation.yaml").write_text("", encoding="utf-8")
    result = runner.invoke(app, ["--declaration", str(declaration), "nation", "check"], prog_name="cgc")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert f"{declaration}/nation.yaml:1" in result.stderr


@pytest.mark.parametrize(
    "part", [part for part in Part if part not in (Part.SUMMARY, Part.PREFIXES, Part.ADDRESSES, Part.FACTS)]
)
def test_each_part_shows_everything_that_it_is_about(nation: Nation, part: Part) -> None:
    """As many rows as the nation has such things, in the table and in JSON."""
    assert len(shown(part.value)) == len(getattr(nation, part.value))
    table = ask("show", part.value)
    assert table.exit_code == ExitCode.AS_DECLARED
    assert len(table.stdout.strip().splitlines()) == len(getattr(nation, part.value)) + 2


def test_every_address_of_a_node_is_shown(nation: Nation) -> None:
    """Loopback, management, each link and each tunnel, with its length; and what each site hands over."""
    rows = shown("addresses", "--where", "name=district-164")
    assert [(row["purpose"], row["interface"]) for row in rows] == [
        ("loopback", "lo"),
        ("management", "mgmt0"),
        ("link", "commune-05440"),
        ("link", "commune-05446"),
        ("link", "province-19"),
        ("tunnel", "wg-05440"),
        ("tunnel", "wg-05446"),
    ]
    assert rows[0]["ipv4"] == f"{nation.node_by_name['district-164'].loopback.ipv4}/32"
    assert len(shown("addresses")) == sum(2 + len(node.interfaces) + len(node.tunnels) for node in nation.nodes)
    assert len(shown("prefixes")) == len(nation.sites) * len(nation.tenancy_classes)


def test_the_facts_to_choose_by_are_shown() -> None:
    """Each with its meaning and the parts that have it."""
    rows = {row["fact"]: row for row in shown("facts")}
    assert rows.keys() == FACTS.keys()
    assert rows["capacity_mbps"]["parts"] == ["links"]
    assert "băng thông" in runner.invoke(app, ["--lang", "vi", "nation", "show", "facts"], prog_name="cgc").stdout


def test_names_are_shown_in_the_users_language() -> None:
    """Vietnamese names keep their diacritics, English is there for those who ask."""
    vietnamese = runner.invoke(app, ["--lang", "vi", "nation", "show", "platforms"], prog_name="cgc").stdout
    english = runner.invoke(app, ["--lang", "en", "nation", "show", "platforms"], prog_name="cgc").stdout
    assert "Cổng Dịch vụ công quốc gia" in vietnamese
    assert "National Public Service Portal" in english
    assert '"Phường An Hòa"' in ask("show", "units", "--json").stdout


def test_names_are_sorted_as_vietnamese_is() -> None:
    """In English, too: the names are Vietnamese, in the table and in JSON."""
    words = ["--lang", "en", "--declaration", str(CHECKOUT / "inventories/rehearsal"), "nation", "show", "units"]
    rows = json.loads(runner.invoke(app, [*words, "--json"], prog_name="cgc").stdout)["units"]
    names = [row["name"] for row in rows]
    assert names == sorted(names, key=sort_key)
    assert names.index("Phường An Hòa") < names.index("Phường Cái Khế") < names.index("Quận Ninh Kiều")
    text = runner.invoke(app, words, prog_name="cgc").stdout
    lines = [next(line for line in text.splitlines() if line.split()[:1] == [row["unit"]]) for row in rows]
    assert [*map(text.index, lines)] == sorted(map(text.index, lines))


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        (("--level", "commune", "--province", "19"), {"commune-05440", "commune-05446"}),
        (("--province", "thai nguyen", "--role", "district"), {"district-164"}),
        (("--plane", "b", "--region", "north"), {"core-b-hn"}),
        (("--tier", "agc,egc"), {"agc-tn-1", "egc-demo-1"}),
        (("--where", "level=commune & !province=19"), {"commune-31117", "commune-31120"}),
        (("--where", "role=core | role=gateway", "--region", "north"), {"core-a-hn", "core-b-hn", "gateway-hn"}),
    ],
)
def test_only_what_fits_is_shown(words: tuple[str, ...], nodes: set[str]) -> None:
    """Short forms and `--where` say the same, and all of them together hold."""
    assert {row["node"] for row in shown("nodes", *words)} == nodes


def test_a_summary_counts_what_fits() -> None:
    """Everything of one province, each kind of thing by the facts that it has."""
    counted = json.loads(ask("show", "--province", "19", "--json").stdout)
    assert counted["units_by_level"] == {"province": 1, "district": 1, "commune": 2}
    assert (counted["nodes"], counted["links"], counted["clusters"], counted["agencies"]) == (5, 6, 1, 1)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nodes", "--province", "thai nguyenn"), "CGC-132", "Tỉnh Thái Nguyên (19)"),
        (("nodes", "--level", "comune"), "CGC-132", "commune"),
        (("nodes", "--where", "level=commune &"), "CGC-130", "column 16"),
        (("sites", "--where", "capacity_mbps>=9"), "CGC-131", "sites have no fact"),
        (("agencies", "--as", "tree"), "CGC-690", "units, sites, centres, nodes, clusters"),
        (("--depth", "1"), "CGC-690", "a summary has no tree"),
    ],
)
def test_what_cannot_be_shown_is_wrong_input(words: tuple[str, ...], code: str, said: str) -> None:
    """Exit code 2, with what was probably meant."""
    result = ask("show", *words)
    assert (result.exit_code, result.stderr[:7], result.stdout) == (ExitCode.WRONG_INPUT, code, "")
    assert said in result.stderr


TREE = """\
Việt Nam (VN)  2 provinces, 2 districts, 4 communes, 5 centres
├── North  1 province, 1 district, 2 communes, 4 centres
│   ├── Cổng kết nối Hà Nội (gateway-hn) · gateway
│   ├── Mạng diện rộng Bộ Tài chính (ministry-mof) · ministry
│   ├── Trung tâm điều hành mạng Hà Nội (noc-hn) · operations
│   ├── Trung tâm vùng Hà Nội (hn) · regional
│   └── Tỉnh Thái Nguyên (19)  1 district, 2 communes
│       └── Thành phố Thái Nguyên (164)  2 communes
│           ├── Phường Hoàng Văn Thụ (05440)
│           └── Phường Quang Trung (05446)
└── South  1 province, 1 district, 2 communes, 1 centre
    ├── Trung tâm vùng TP. Hồ Chí Minh (hcm) · regional
    └── Thành phố Cần Thơ (92)  1 district, 2 communes
        └── Quận Ninh Kiều (916)  2 communes
            ├── Phường An Hòa (31120)
            └── Phường Cái Khế (31117)
"""


def test_the_nation_is_a_tree() -> None:
    """Country, regions, provinces, districts, communes; each branch counts what is below it."""
    assert ask("show", "sites", "--as", "tree").stdout == TREE


def test_a_tree_has_only_what_fits_and_only_so_deep() -> None:
    """Branches with nothing to show are not there; what lies deeper is counted all the same."""
    assert ask("show", "nodes", "--province", "92", "--depth", "2").stdout == (
        "Việt Nam (VN)  4 nodes\n└── South  4 nodes\n    └── Thành phố Cần Thơ (92)  4 nodes\n"
    )
    assert "└── commune-31120\n" in ask("show", "nodes", "--province", "92", "--as", "tree").stdout
    nothing = ask("show", "nodes", "--where", "name=nobody", "--as", "tree")
    assert (nothing.exit_code, nothing.stdout) == (ExitCode.AS_DECLARED, "Việt Nam (VN)\n")


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_tree_and_json_have_the_same_content(nation: Nation, part: Part) -> None:
    """Every branch, in the same order, with the same counts; nothing is counted twice or lost."""
    root = json.loads(ask("show", part.value, "--as", "tree", "--json").stdout)["tree"]
    flat: list[str] = []

    def walk(branch: dict[str, object]) -> None:
        flat.append(str(branch["code"]))
        for child in branch["children"]:  # type: ignore[attr-defined] # JSON
            walk(child)

    walk(root)
    lines = [*lines_of(tree_of(nation, part, F()))]
    assert len(lines) == len(flat)
    assert all(code in line or code in ("north", "south") for code, line in zip(flat, lines, strict=True))
    expected = len(getattr(nation, part.value)) - (part is Part.UNITS)  # the country is the root
    assert sum(root["counts"].values()) == expected


def test_json_by_either_name_is_one() -> None:
    """`--as json` is `--json`."""
    assert ask("show", "clusters", "--as", "json").stdout == ask("show", "clusters", "--json").stdout


def test_a_table_of_thousands_of_rows_is_as_good_as_a_short_one() -> None:
    """Its columns are straight, also where a mark stands on a letter; what a value holds can move no cursor."""
    names = ["Hòa", unicodedata.normalize("NFD", "Hòa"), "\x1b[2J", *(str(number) for number in range(600))]
    table = Table(
        name="names",
        title_en="Names",
        columns=(Column(key="name", en="name", vi="tên"), Column(key="after", en="after", vi="sau")),
        rows=tuple({"name": name, "after": None} for name in names),
    )
    out = StringIO()
    present([table], as_json=False, out=out)
    title, heading, rule, *lines = out.getvalue().splitlines()
    assert (title, heading, rule) == ("Names", "name      after", "───────   ─────")
    assert lines[:3] == ["Hòa       –", unicodedata.normalize("NFD", "Hòa       –"), "\\x1b[2J   –"]
    assert len(lines) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("show", "sites", "--as", "tree"), 10_850),
        (("show", "sites"), 10_850),
        (("show", "nodes", "--json"), 100_000),
        (("show", "links", "--province", "ha noi"), 500),
        (("show", "units", "--where", "name~'hòa'"), 300),
    ],
)
def test_eleven_thousand_sites_are_shown(words: tuple[str, ...], lines: int) -> None:
    """A whole nation is answered about as a small one is, line by line."""
    result = ask(*words, declaration="inventories/nation-2021")
    assert result.exit_code == ExitCode.AS_DECLARED
    assert len(result.stdout.splitlines()) > lines
