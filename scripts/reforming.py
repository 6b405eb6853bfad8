"""`cgc nation reform plan`: what a reform of the administrative scheme changes, before anything is changed.

The result of a plan is a declaration of its own, with the inverse of the reform beside it: nothing is migrated by hand.
"""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inventories.checking import check
from inventories.declaration import Declaration
from inventories.errors import ExitCode
from inventories.expansion import nation_of
from inventories.loading import read_declaration
from inventories.model import Nation, Override, Unit
from inventories.numbering import written
from inventories.places import places_of
from inventories.reading import SHARED_FILES, DeclarationRefusedError, Reader
from inventories.reform_file import nation_text, overrides_text, read_reform, reform_text, units_text
from inventories.reforming import (
    Reformed,
    TracedReader,
    UnitChange,
    apply,
    check_sites,
    fingerprint_of,
    reformed_declaration,
)
from scripts.durable import flush_directory, write_new
from scripts.errors import ScriptError
from scripts.invocation import JsonOption, current, speak
from scripts.presenting import Column, Table, examples, finish, present, progress

if TYPE_CHECKING:
    from scripts.reform_preview import Fates, ReformPreview

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Reform the administrative scheme.")

INVERSE_FILE = "inverse.yaml"
WRITTEN = """\
# Written by `cgc nation reform plan`: {what}.
# One entry a line, as long as it is:
# yamllint disable rule:line-length
"""


class OutError(ScriptError):
    """A directory that the new declaration cannot be written to."""

    exit_code = ExitCode.WRONG_INPUT


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A reform's plan: what it makes of the declaration in `directory`, and the hashes before and after."""

    directory: Path
    reformed: Reformed
    before: Declaration
    after: Declaration
    nations: tuple[Nation, Nation]
    preview: ReformPreview
    hash_before: str
    hash_after: str
    hash_undone: str

    @property
    def is_undone_exactly(self) -> bool:
        """Whether the inverse, applied to the result, gave back what was there before."""
        return self.hash_undone == self.hash_before


@app.callback()
def reform() -> None:
    """Reform the administrative scheme: units merge, split and move, levels go and come."""


@app.command(
    epilog=examples(
        ("cgc --declaration inventories/nation-2021 nation reform plan reform.yaml", "what would change"),
        ("cgc nation reform plan reform.yaml --out DIR", "write the new declaration, with the inverse"),
        ("cgc nation reform plan DIR/inverse.yaml", "what undoing it would change, of that declaration"),
    )
)
def plan(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The reform: steps, applied one after the other.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Write the declaration after it, and its inverse, to a new directory."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a reform changes: units, nodes, links, routes, alerts, owners, and in which order to carry it out.

    Nothing is written without --out, and nothing at all if a step cannot be applied to what it meets (exit code 2).
    """
    if out is not None:
        _require_room(out)
    with progress("planning the reform") as steps:
        planned = plan_reform(current().declaration, file, today=datetime.now(UTC).date())
        if out is not None and planned.is_undone_exactly:
            steps.step(f"writing {out}")
            write_declaration(planned, out)
    if as_json:
        present(_all_tables(planned), facts=_facts(planned, out) | _lists(planned.preview), as_json=True)
    else:
        present(_summary_tables(planned), facts=_facts(planned, out), as_json=False)
    finish(ExitCode.AS_DECLARED if planned.is_undone_exactly else ExitCode.FAILED)


def plan_reform(directory: Path, file: Path, *, today: date) -> Planned:
    """Return the plan of a reform; DeclarationRefusedError if declaration, reform or result is not sound."""
    from scripts.reform_preview import preview_reform  # noqa: PLC0415 - `cgc nation check` does not pay for it

    reader = TracedReader(directory)
    before = read_declaration(reader)
    check(before, reader, today=today)
    reader.refuse_if_wrong()
    places = places_of(before, reader)
    reformed = apply(read_reform(file), before.units, before.overrides, scheme=before.nation.scheme)
    problems = check_sites(before, reformed, lambda index: reader.place("clusters.yaml", "clusters", index, "site"))
    if problems:
        raise DeclarationRefusedError(problems)
    after = reformed_declaration(before, reformed)
    reader.follow(reformed.places)
    check(after, reader, today=today)
    reader.refuse_if_wrong()
    nations = nation_of(before, directory, places), nation_of(after, directory)
    undone = apply(reformed.inverse, reformed.units, reformed.overrides, scheme=reformed.scheme)
    return Planned(
        directory=directory,
        reformed=reformed,
        before=before,
        after=after,
        nations=nations,
        preview=preview_reform(
            reformed, (before, after), nations, lambda agency: nations[0].place_of(f"agency/{agency}", "unit")
        ),
        hash_before=fingerprint_of(before.nation.scheme, before.units, before.overrides),
        hash_after=fingerprint_of(reformed.scheme, reformed.units, reformed.overrides),
        hash_undone=fingerprint_of(undone.scheme, undone.units, undone.overrides),
    )


def _require_room(out: Path) -> None:
    """Refuse a directory that holds something, or that could not be made."""
    try:
        is_free = not any(out.iterdir()) if out.is_dir() else not (out.exists() or out.is_symlink())
        if is_free and out.parent.is_dir():
            return
        what, remedy = "it is there and not an empty directory", "name a new directory, or an empty one"
        if is_free:
            what, remedy = f"{out.parent} is no directory", "make it, or name another"
    except OSError as err:
        what, remedy = f"it cannot be looked at: {err.strerror}", "name another directory"
    raise OutError("CGC-129", f"the declaration cannot be written: {what}", where=str(out), remedy=remedy)


def write_declaration(planned: Planned, out: Path) -> None:
    """Write the declaration after the reform, whole or not at all: units, overrides, the rest as it was, the inverse.

    What must be declared anew (an agency whose unit is gone) stays as it is declared: people decide about it.
    """
    files = _files_of(planned)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
            staged = Path(beside) / out.name
            (staged / "overrides").mkdir(parents=True)
            for name, content in files.items():
                write_new(staged / name, content)
            flush_directory(staged / "overrides")
            flush_directory(staged)
            staged.rename(out)  # over an empty directory, never over a full one (rename(2))
        flush_directory(out.parent)
    except OSError as err:
        kind = OutError if err.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) else ScriptError
        raise kind(
            "CGC-129",
            f"the declaration cannot be written: {err.strerror}",
            where=str(out),
            remedy="free space there, or name another new directory",
        ) from err


def _files_of(planned: Planned) -> dict[str, bytes]:
    """Return the new declaration's files by their names in its directory."""
    reader = Reader(planned.directory)
    reader.base = planned.before.nation.based_on
    found = {name: (planned.directory / reader.home_of(name)).read_bytes() for name in SHARED_FILES}
    found |= _override_files(planned)
    found["units.csv"] = units_text(planned.after.units).encode()
    found["nation.yaml"] = nation_text(planned.after.nation).encode()
    inverse = planned.reformed.inverse
    note = WRITTEN.format(what=f"the reform that undoes {planned.reformed.reform.name}")
    found[INVERSE_FILE] = f"{note}{reform_text(inverse)}".encode()
    return found


def _override_files(planned: Planned) -> dict[str, bytes]:
    """Return the files of overrides/: as they are where nothing changed, and one for what the reform brings."""
    before: dict[str, list[Override]] = {
        f"overrides/{path.name}": [] for path in (planned.directory / "overrides").glob("*.yaml")
    }
    after: dict[str, list[Override]] = {name: [] for name in before}
    file_of = {item: item.place.rpartition(":")[0] for item in planned.before.overrides}
    for item, name in file_of.items():
        before[name].append(item)
    for item in planned.after.overrides:
        after.setdefault(file_of.get(item, f"overrides/reform-{planned.reformed.reform.name}.yaml"), []).append(item)
    note = WRITTEN.format(what=f"what was overridden before {planned.reformed.reform.name} or is by it")
    return {
        name: (planned.directory / name).read_bytes()
        if before.get(name) == items
        else f"{note}{overrides_text(items)}".encode()
        for name, items in after.items()
    }


def _facts(planned: Planned, out: Path | None) -> dict[str, object]:
    reformed, preview = planned.reformed, planned.preview
    declared, inverse = reformed.reform, reformed.inverse
    return {
        "reform": declared.name,
        "title": speak(en=declared.title.en, vi=declared.title.vi),
        "decided_by": declared.decided_by,
        "in_force": declared.in_force,
        "scheme_before": planned.before.nation.scheme,
        "scheme_after": reformed.scheme,
        "steps": len(declared.steps),
        "addresses": declared.addresses,
        "nodes_that_keep_every_address": len(preview.kept),
        "overrides": {"written": len(reformed.written), "dropped": len(reformed.dropped)},
        "hash_before": planned.hash_before,
        "hash_after": planned.hash_after,
        "inverse": {
            "steps": len(inverse.steps),
            "units": sum(len(step.split.units) for step in inverse.steps if step.split is not None)
            + sum(len(step.add_level.units) for step in inverse.steps if step.add_level is not None),
            "overrides_restored": len(inverse.overrides),
            "overrides_dropped": len(inverse.drop),
        },
        "inverse_restores_hash_before": planned.is_undone_exactly,
        "written_to": out if planned.is_undone_exactly else None,
    }


def _lists(preview: ReformPreview) -> dict[str, object]:
    """Return the names of everything that the tables count."""
    return {
        "nodes": _names(preview.nodes) | {"keep": preview.kept},
        "links": _names(preview.links) | {"relabelled": preview.relabelled},
        "sessions": _names(preview.sessions),
        "tunnels": _names(preview.tunnels),
    }


def _names(fates: Fates) -> dict[str, object]:
    return {"go": fates.goes, "come": fates.comes, "change": fates.changes}


def _summary_tables(planned: Planned) -> list[Table]:
    """Return what people read: counts, owners and waves."""
    preview = planned.preview
    tables = [_levels(preview), _network(preview), _reasons(preview), _watched(preview), _owners(preview)]
    shown = (*tables, _handovers(preview, _count), _waves(preview, _count))
    return [table for table in shown if table.rows]


def _count(names: tuple[str, ...]) -> object:
    return len(names)


def _all(names: tuple[str, ...]) -> object:
    return names


def _all_tables(planned: Planned) -> list[Table]:
    """Return every row of everything."""
    preview, reformed = planned.preview, planned.reformed
    return [
        _levels(preview),
        _network(preview),
        _units("units_ceased", preview.ceased, reformed.heirs),
        _units("units_born", preview.born),
        _units("units_renamed", preview.renamed),
        _units("units_relocated", preview.relocated),
        _units("units_reparented", preview.reparented),
        _renumbered(preview),
        _aggregates(preview),
        _watched(preview),
        _owners(preview),
        _handovers(preview, _all),
        _waves(preview, _all),
        _overrides("overrides_written", reformed.written),
        _overrides("overrides_dropped", reformed.dropped),
    ]


def _levels(preview: ReformPreview) -> Table:
    return Table(
        name="levels",
        title_en="Units",
        title_vi="Đơn vị hành chính",
        columns=(
            Column(key="level", en="level", vi="cấp"),
            Column(key="before", en="before", vi="trước"),
            Column(key="ceased", en="cease", vi="kết thúc"),
            Column(key="born", en="born", vi="thành lập"),
            Column(key="after", en="after", vi="sau"),
            Column(key="renamed", en="renamed", vi="đổi tên"),
            Column(key="relocated", en="other place", vi="đổi vị trí"),
            Column(key="reparented", en="other parent", vi="đổi cấp trên"),
        ),
        rows=tuple(
            {
                "level": count.level,
                "before": count.before,
                "ceased": count.ceased,
                "born": count.born,
                "after": count.after,
                "renamed": count.renamed,
                "relocated": count.relocated,
                "reparented": count.reparented,
            }
            for count in preview.levels
            if count.before or count.after
        ),
    )


def _network(preview: ReformPreview) -> Table:
    fates = {
        "nodes": preview.nodes,
        "links": preview.links,
        "sessions": preview.sessions,
        "tunnels": preview.tunnels,
    }
    rows: list[Mapping[str, object]] = [
        {"what": what, "go": len(one.goes), "come": len(one.comes), "change": len(one.changes)}
        for what, one in fates.items()
    ]
    for level in sorted({item.level for item in preview.aggregates}):
        counts = Counter(item.fate.value for item in preview.aggregates if item.level is level)
        rows.append(
            {
                "what": f"prefixes of a {level}",
                "go": counts["goes"],
                "come": counts["comes"],
                "change": counts["changes"],
            }
        )
    return Table(
        name="network",
        title_en="Network (change: other addresses, or another announcer)",
        title_vi="Mạng (đổi: địa chỉ khác, hoặc nút quảng bá khác)",
        columns=(
            Column(key="what", en="what", vi="đối tượng"),
            Column(key="go", en="go", vi="bỏ"),
            Column(key="come", en="come", vi="thêm"),
            Column(key="change", en="change", vi="đổi"),
        ),
        rows=tuple(rows),
    )


def _reasons(preview: ReformPreview) -> Table:
    counts = Counter(item.why for item in preview.renumbered)
    return Table(
        name="reasons",
        title_en="Nodes with other addresses",
        title_vi="Nút đổi địa chỉ",
        columns=(Column(key="why", en="why", vi="lý do"), Column(key="nodes", en="nodes", vi="số nút")),
        rows=tuple({"why": why, "nodes": count} for why, count in sorted(counts.items())),
    )


def _renumbered(preview: ReformPreview) -> Table:
    return Table(
        name="nodes_renumbered",
        columns=_columns("node", "before", "after", "why", "detail"),
        rows=tuple(
            {
                "node": item.node,
                "before": written(item.before),
                "after": written(item.after),
                "why": item.why,
                "detail": item.detail,
            }
            for item in preview.renumbered
        ),
    )


def _aggregates(preview: ReformPreview) -> Table:
    return Table(
        name="prefixes",
        columns=_columns("level", "number", "fate", "before", "after", "loopbacks", "sites"),
        rows=tuple(
            {
                "level": item.level,
                "number": item.number,
                "fate": item.fate,
                "before": item.before,
                "after": item.after,
                "loopbacks": item.loopbacks,
                "sites": item.sites,
            }
            for item in preview.aggregates
        ),
    )


def _columns(*keys: str) -> tuple[Column, ...]:
    """Return columns of a table that is shown as JSON only."""
    return tuple(Column(key=key, en=key, vi=key) for key in keys)


def _units(name: str, changes: Iterable[UnitChange], heirs: Mapping[str, str] | None = None) -> Table:
    return Table(
        name=name,
        columns=_columns("code", "before", "after", "steps", *(() if heirs is None else ("heir",))),
        rows=tuple(
            {
                "code": change.code,
                "before": _unit(change.before),
                "after": _unit(change.after),
                "steps": [cause.place for cause in change.causes],
                "heir": (heirs or {}).get(change.code),
            }
            for change in changes
        ),
    )


def _unit(unit: Unit | None) -> dict[str, object] | None:
    if unit is None:
        return None
    place = {"latitude": unit.latitude, "longitude": unit.longitude}
    return {"level": unit.level, "name": unit.name, "parent": unit.parent, **place}


def _watched(preview: ReformPreview) -> Table:
    return Table(
        name="watched",
        title_en="Alerts and dashboards: what they are named after",
        title_vi="Cảnh báo và bảng theo dõi: đối tượng được đặt tên theo",
        columns=(
            Column(key="kind", en="a", vi="loại"),
            Column(key="label", en="label", vi="nhãn"),
            Column(key="go", en="go", vi="bỏ"),
            Column(key="come", en="come", vi="thêm"),
            Column(key="alerts", en="alerts", vi="cảnh báo"),
        ),
        rows=tuple(
            {
                "kind": item.kind,
                "label": item.label,
                "go": len(item.fates.goes),
                "come": len(item.fates.comes),
                "alerts": item.alerts,
            }
            for item in preview.watched
        ),
    )


def _owners(preview: ReformPreview) -> Table:
    return Table(
        name="owners",
        title_en="Owners",
        title_vi="Cơ quan chủ quản",
        columns=(
            Column(key="agency", en="agency", vi="cơ quan"),
            Column(key="fate", en="what becomes of it", vi="thay đổi"),
            Column(key="unit", en="unit", vi="đơn vị"),
            Column(key="heir", en="now part of", vi="nhập vào"),
            Column(key="heirs_agency", en="whose agency is", vi="cơ quan tiếp nhận"),
            Column(key="place", en="declared at", vi="khai báo tại"),
        ),
        rows=tuple(
            {
                "agency": owner.agency,
                "fate": owner.fate,
                "unit": owner.unit,
                "heir": owner.heir,
                "heirs_agency": owner.heirs_agency,
                "place": owner.place,
            }
            for owner in preview.owners
        ),
    )


def _handovers(preview: ReformPreview, shown: Callable[[tuple[str, ...]], object]) -> Table:
    return Table(
        name="handovers",
        title_en="Sites that serve another agency",
        title_vi="Địa điểm đổi cơ quan phục vụ",
        columns=(
            Column(key="from", en="from", vi="từ"),
            Column(key="to", en="to", vi="sang"),
            Column(key="sites", en="sites", vi="số địa điểm"),
        ),
        rows=tuple({"from": item.before, "to": item.after, "sites": shown(item.sites)} for item in preview.handovers),
    )


def _waves(preview: ReformPreview, shown: Callable[[tuple[str, ...]], object]) -> Table:
    return Table(
        name="waves",
        title_en="Waves (build what will be above, move what is below, retire what nobody uses)",
        title_vi="Các đợt (dựng phần trên, chuyển phần dưới, gỡ phần không còn dùng)",
        columns=(
            Column(key="wave", en="wave", vi="đợt"),
            Column(key="phase", en="phase", vi="giai đoạn"),
            Column(key="province", en="province", vi="tỉnh"),
            Column(key="plane", en="plane", vi="mặt phẳng"),
            Column(key="nodes", en="nodes", vi="số nút"),
        ),
        rows=tuple(
            {
                "wave": number,
                "phase": wave.phase,
                "province": wave.province,
                "plane": wave.plane,
                "nodes": shown(wave.nodes),
            }
            for number, wave in enumerate(preview.waves, 1)
        ),
    )


def _overrides(name: str, overrides: Iterable[Override]) -> Table:
    return Table(
        name=name,
        columns=_columns("subject", "fact", "value", "who", "why", "until"),
        rows=tuple(
            {key: getattr(item, key) for key in ("subject", "fact", "value", "who", "why", "until")}
            for item in overrides
        ),
    )
