"""`cgc nation`: whether the declaration is sound, the nation that it makes, and what questions people ask of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from inventories.deferred import uncollected
from inventories.loading import load_declaration
from inventories.model import UnitLevel
from scripts.invocation import JsonOption, current
from scripts.presenting import present
from scripts.verbs import Verb, VerbGroup

QUESTIONS = {
    "check": Verb(
        module="scripts.nation",
        attribute="check",
        help="Say whether the declaration is sound.",
        examples=(("cgc nation check", "is it sound?"), ("cgc nation check changed/", "is this one?")),
    ),
    "show": Verb(
        module="scripts.nation_showing",
        attribute="show",
        help="Show the nation, or the part of it that fits.",
        examples=(
            ("cgc nation show", "how large is it?"),
            ("cgc nation show nodes --json", "every node's addresses"),
            ("cgc nation show sites --province 'thai nguyen' --as tree", "one province, place by place"),
            ("cgc nation show links --where 'capacity_mbps>=1000 & !plane=a'", "what fits, and nothing else"),
        ),
    ),
    "explain": Verb(
        module="scripts.nation_explaining",
        attribute="explain",
        help="Say which line gives a fact.",
        examples=(
            ("cgc nation explain 05440", "what there is to explain of a site"),
            ("cgc nation explain commune-05440 loopback4", "which lines give a node its address"),
        ),
    ),
    "diff": Verb(
        module="scripts.nation_diffing",
        attribute="diff",
        help="Say what differs between two declarations.",
        examples=(
            ("cgc nation diff HEAD~1", "what the last commit changed, as people say it"),
            ("cgc nation diff inventories/nation-2021 inventories/nation-2025", "between two declarations"),
        ),
    ),
    "export": Verb(
        module="scripts.nation_exporting",
        attribute="export",
        help="Write the nation for another program.",
        examples=(
            ("cgc nation export geojson --out nation.geojson", "sites and links for a map"),
            ("cgc nation export file-sd --role cluster", "targets for another Prometheus"),
            ("cgc nation export netbox --out netbox/", "files that NetBox imports"),
        ),
    ),
    "reform": Verb(module="scripts.reforming", attribute="app", help="Reform the administrative scheme."),
}


class QuestionGroup(VerbGroup):
    """The questions to a nation."""

    verbs = QUESTIONS


app = typer.Typer(
    cls=QuestionGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Check, show, explain or reform what is declared.",
)

DirectoryArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="A declaration; default: the one of --declaration.")
]


@app.callback()
def question(context: typer.Context) -> None:
    """Answer without looking for garbage: a nation is some millions of objects, and all of them are needed."""
    context.with_resource(uncollected())


def check(*, directory: DirectoryArgument = None, as_json: JsonOption = False) -> None:
    """Read the declaration strictly; name every problem with file, line and remedy, and end with 2 if there is one."""
    chosen = directory or current().declaration
    declaration, _ = load_declaration(chosen)
    levels = Counter(unit.level for unit in declaration.units)
    facts = {
        "declaration": chosen,
        "sound": True,
        "units_by_level": {level.value: levels[level] for level in UnitLevel if levels[level]},
        "centres": len(declaration.centres.centres),
        "clusters": len(declaration.clusters.clusters),
        "platforms": len(declaration.platforms.platforms),
        "overrides": len(declaration.overrides),
    }
    present(facts=facts, as_json=as_json)
