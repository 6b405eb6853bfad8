"""`cgc nation explain`: which rule or override gives a fact, and which line of which file says so."""

from __future__ import annotations

from typing import Annotated

import typer

from inventories.explaining import Explainer
from inventories.loading import load_declaration
from scripts.invocation import JsonOption, current, speak
from scripts.presenting import Column, Table, present

COLUMNS = (
    Column(key="place", en="line", vi="dòng"),
    Column(key="key", en="key", vi="khóa"),
    Column(key="rule", en="how it counts", vi="ý nghĩa"),
)


def explain(
    *,
    subject: Annotated[str, typer.Argument(metavar="SITE", help="A unit's or centre's code, or a node's name.")],
    fact: Annotated[str | None, typer.Argument(metavar="[FACT]", help="One of its facts; default: list them.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a fact is what it is; each line named, when it is changed, changes the fact."""
    directory = current().declaration
    asked = Explainer(*load_declaration(directory), directory)
    if fact is None:
        rows = tuple({"fact": name, "value": asked.explain(subject, name).value} for name in asked.facts_of(subject))
        columns = (Column(key="fact", en="fact", vi="dữ kiện"), Column(key="value", en="value", vi="giá trị"))
        present([Table(name="facts", columns=columns, rows=rows)], facts={"subject": subject}, as_json=as_json)
        return
    found = asked.explain(subject, fact)
    steps = tuple(
        {"place": step.place, "key": step.key, "rule": speak(en=step.rule.en, vi=step.rule.vi)} for step in found.steps
    )
    facts = {"subject": found.subject, "fact": found.fact, "value": found.value}
    present([Table(name="steps", columns=COLUMNS, rows=steps)], facts=facts, as_json=as_json)
