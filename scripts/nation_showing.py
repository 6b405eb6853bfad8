"""`cgc nation show`: the nation that the declaration makes, or a part of it, as a table, a tree or JSON."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from inventories import load_nation
from inventories.errors import ExitCode
from inventories.facts import KINDS
from inventories.model import Agency, Cluster, Link, Nation, Node, Platform, Unit, UnitLevel
from inventories.selecting import EVERYTHING, Selection, select
from scripts.errors import ScriptError
from scripts.invocation import JsonOption, current, speak
from scripts.nation_asking import (
    Asked,
    LevelOption,
    PlaneOption,
    ProvinceOption,
    RegionOption,
    RoleOption,
    TierOption,
    WhereOption,
)
from scripts.nation_tables import Part, facts_table, table_of
from scripts.nation_trees import PARTS, lines_of, plain_tree, tree_of
from scripts.presenting import present, present_text


class NoSuchFormError(ScriptError):
    """A part that cannot be shown as it was asked for."""

    exit_code = ExitCode.WRONG_INPUT


class Form(StrEnum):
    """How to show it."""

    TABLE = "table"
    TREE = "tree"
    JSON = "json"


def show(
    *,
    part: Annotated[Part, typer.Argument(help="What to show.")] = Part.SUMMARY,
    where: WhereOption = None,
    level: LevelOption = None,
    province: ProvinceOption = None,
    region: RegionOption = None,
    plane: PlaneOption = None,
    tier: TierOption = None,
    role: RoleOption = None,
    form: Annotated[Form, typer.Option("--as", help="How; --json with `tree` gives the tree as JSON.")] = Form.TABLE,
    depth: Annotated[
        int | None, typer.Option("--depth", min=0, help="A tree, so many levels below the country; else all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the nation that the declaration makes, or the part of it that fits.

    Units, sites and centres are sorted by name as Vietnamese is, everything else by identifier; JSON likewise.
    """
    asked = Asked(where=where, level=level, province=province, region=region, plane=plane, tier=tier, role=role)
    selection = asked.selection
    as_json = as_json or form is Form.JSON
    if (form is Form.TREE or depth is not None) and part not in PARTS:
        raise NoSuchFormError(
            "CGC-690",
            f"{part.value} have no tree" if part is not Part.SUMMARY else "a summary has no tree",
            where="--as tree" if form is Form.TREE else "--depth",
            remedy=f"ask for {', '.join(one.value for one in PARTS)}, or for a table",
        )
    if part is Part.FACTS:
        present([facts_table()], as_json=as_json)
        return
    nation = load_nation(current().declaration)
    if part is Part.SUMMARY:
        title = speak(en=nation.title.en, vi=nation.title.vi)
        facts = {"nation": nation.name, "title": title, "scheme": nation.scheme, **counts(nation, selection)}
        present(facts=facts, as_json=as_json)
    elif form is Form.TREE or depth is not None:
        tree = tree_of(nation, part, selection)
        if as_json:
            present(facts={"tree": plain_tree(tree, depth=depth)}, as_json=True)
        else:
            present_text("\n".join(lines_of(tree, depth=depth)) + "\n")
    else:
        present([table_of(nation, part, selection)], as_json=as_json)


def counts(nation: Nation, where: Selection = EVERYTHING) -> dict[str, object]:
    """Return how much of everything there is, of what fits the selection."""
    among = tuple(KINDS)
    nodes = select(nation, Node, where, among=among)
    levels = Counter(unit.level.value for unit in select(nation, Unit, where, among=among))
    return {
        "units_by_level": {level.value: levels[level.value] for level in UnitLevel if levels[level.value]},
        "nodes": len(nodes),
        "nodes_by_role": dict(sorted(Counter(node.role.value for node in nodes).items())),
        "links": len(select(nation, Link, where, among=among)),
        "planes": len(nation.planes),
        "clusters": len(select(nation, Cluster, where, among=among)),
        "agencies": len(select(nation, Agency, where, among=among)),
        "platforms": len(select(nation, Platform, where, among=among)),
    }
