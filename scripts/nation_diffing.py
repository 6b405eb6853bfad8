"""`cgc nation diff`: what differs between two declarations, as people say it and not as lines of text."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from inventories.collation import sort_key
from inventories.declaration import Declaration
from inventories.differing import Difference, Kind, differences
from inventories.errors import ExitCode
from inventories.loading import load_declaration
from inventories.model import UnitLevel
from scripts.invocation import JsonOption, current
from scripts.nation_revisions import declaration_named
from scripts.presenting import Column, Table, finish, present

_COLUMNS = (
    Column(key="province", en="province", vi="mã tỉnh"),
    Column(key="province_name", en="name of province", vi="tỉnh"),
    Column(key="kind", en="kind", vi="loại"),
    Column(key="subject", en="subject", vi="đối tượng"),
    Column(key="name", en="name", vi="tên"),
    Column(key="change", en="change", vi="thay đổi"),
    Column(key="what", en="what", vi="dữ kiện"),
    Column(key="before", en="before", vi="trước"),
    Column(key="after", en="after", vi="sau"),
)
_COUNTED = (
    Column(key="kind", en="kind", vi="loại"),
    Column(key="change", en="change", vi="thay đổi"),
    Column(key="number", en="number", vi="số lượng"),
)


def diff(
    *,
    before: Annotated[str, typer.Argument(metavar="A", help="A directory, or a git revision: REV or REV:DIR.")],
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Likewise; default: the declaration as it stands.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what differs between two declarations, as people say it; end with 5 if anything does.

    DIR is relative to the repository's top; without it, the one of --declaration is meant as it stood then.
    """
    usual = current().declaration
    old = declaration_named(before, usual)
    new = declaration_named(after, usual) if after is not None else load_declaration(usual)[0]
    found = differences(old, new)
    facts = {"before": before, "after": after or usual, "differences": len(found)}
    present([_counts(found), _table(found, old, new)] if found or as_json else [], facts=facts, as_json=as_json)
    finish(ExitCode.DIFFERS if found else ExitCode.AS_DECLARED)


def _counts(found: tuple[Difference, ...]) -> Table:
    order = {kind: index for index, kind in enumerate(Kind)}
    counted = Counter((one.kind, one.change) for one in found)
    return Table(
        name="counts",
        columns=_COUNTED,
        rows=tuple(
            {"kind": kind, "change": change, "number": number}
            for (kind, change), number in sorted(counted.items(), key=lambda item: (order[item[0][0]], item[0][1]))
        ),
    )


def _table(found: tuple[Difference, ...], old: Declaration, new: Declaration) -> Table:
    names = {
        unit.code: unit.name
        for declaration in (old, new)
        for unit in declaration.units
        if unit.level is UnitLevel.PROVINCE
    }

    def place(one: Difference) -> tuple[object, ...]:
        name = names.get(one.province or "", "")
        return sort_key(name), one.province or ""

    return Table(
        name="changes",
        columns=_COLUMNS,
        rows=tuple(
            {
                "province": one.province,
                "province_name": names.get(one.province or ""),
                "kind": one.kind,
                "subject": one.subject,
                "name": one.name or None,
                "change": one.change,
                "what": one.what or None,
                "before": one.before,
                "after": one.after,
            }
            for one in sorted(found, key=place)
        ),
    )
