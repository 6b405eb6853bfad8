"""`cgc nation`: whether the declaration is sound, the nation that it makes, and what questions people ask of it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from inventories.loading import load_declaration
from inventories.model import UnitLevel
from scripts.invocation import JsonOption, current
from scripts.nation_diffing import diff
from scripts.nation_explaining import explain
from scripts.nation_exporting import export
from scripts.nation_showing import show
from scripts.presenting import examples, present
from scripts.reforming import app as reform

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Check, show, explain or reform what is declared."
)

DirectoryArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="A declaration; default: the one of --declaration.")
]


@app.callback()
def question(context: typer.Context) -> None:
    """Answer without looking for garbage: a nation is some millions of objects, and all of them are needed."""
    context.with_resource(_uncollected())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python's collector of cycles from walking the nation again and again while it grows (three times faster)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@app.command(epilog=examples(("cgc nation check", "is it sound?"), ("cgc nation check changed/", "is this one?")))
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


app.command(
    help="Show the nation that the declaration makes, or the part of it that fits.\n\n"
    "Units, sites and centres are sorted by name as Vietnamese is, everything else by identifier; JSON likewise.",
    epilog=examples(
        ("cgc nation show", "how large is it?"),
        ("cgc nation show nodes --json", "every node's addresses"),
        ("cgc nation show sites --province 'thai nguyen' --as tree", "one province, place by place"),
        ("cgc nation show links --where 'capacity_mbps>=1000 & !plane=a'", "what fits, and nothing else"),
    ),
)(show)
app.command(
    help="Say what differs between two declarations, as people say it; end with 5 if anything does.\n\n"
    "DIR is relative to the repository's top; without it, the one of --declaration is meant as it stood then.",
    epilog=examples(
        ("cgc nation diff HEAD~1", "what the last commit changed, as people say it"),
        ("cgc nation diff inventories/nation-2021 inventories/nation-2025", "between two declarations"),
    ),
)(diff)
app.command(
    help="Write the nation, or the part of it that fits, for another program; the same nation gives the same bytes.\n\n"
    "What fits are nodes (ansible, file-sd, netbox) or sites and links (geojson). Files are replaced whole.",
    epilog=examples(
        ("cgc nation export geojson --out nation.geojson", "sites and links for a map"),
        ("cgc nation export file-sd --role cluster", "targets for another Prometheus"),
        ("cgc nation export netbox --out netbox/", "files that NetBox imports"),
    ),
)(export)
app.command(
    epilog=examples(
        ("cgc nation explain 05440", "what there is to explain of a site"),
        ("cgc nation explain commune-05440 loopback4", "which lines give a node its address"),
    )
)(explain)
app.add_typer(reform, name="reform")
