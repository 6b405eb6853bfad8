"""`cgc nation export`: the nation, or the part of it that fits, for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inventories import load_nation
from inventories.errors import ExitCode
from inventories.model import Link, Nation, Node, Site
from inventories.selecting import Selection, select
from scripts.durable import replace_file
from scripts.errors import ScriptError
from scripts.invocation import JsonOption, current
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
from scripts.presenting import Column, Table, present, present_text


class ExportError(ScriptError):
    """An export that cannot go where it was told to."""


class NoPlaceError(ExportError):
    """A place for an export that does not fit what is exported."""

    exit_code = ExitCode.WRONG_INPUT


_COLUMNS = (Column(key="file", en="file", vi="tệp"), Column(key="bytes", en="bytes", vi="byte"))


class Format(StrEnum):
    """For which program."""

    ANSIBLE = "ansible"
    FILE_SD = "file-sd"
    GEOJSON = "geojson"
    NETBOX = "netbox"


def export(
    *,
    form: Annotated[
        Format,
        typer.Argument(
            metavar="FORMAT",
            help="ansible: a static inventory. file-sd: Prometheus' targets. geojson: a map of sites and links. "
            "netbox: files for its bulk import.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE|DIR", help="Where; default: stdout. A directory for netbox.")
    ] = None,
    where: WhereOption = None,
    level: LevelOption = None,
    province: ProvinceOption = None,
    region: RegionOption = None,
    plane: PlaneOption = None,
    tier: TierOption = None,
    role: RoleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the nation, or the part of it that fits, for another program; the same nation gives the same bytes.

    What fits are nodes (ansible, file-sd, netbox) or sites and links (geojson). Files are replaced whole.
    """
    asked = Asked(where=where, level=level, province=province, region=region, plane=plane, tier=tier, role=role)
    selection = asked.selection
    if form is Format.NETBOX and out is None:
        raise NoPlaceError(
            "CGC-694",
            "netbox takes several files",
            where="export netbox",
            remedy="name a directory for them: --out DIR",
        )
    nation = load_nation(current().declaration)
    if out is None:
        present_text(_text(nation, form, selection))
        return
    if form is Format.NETBOX:
        from scripts.nation_netbox import netbox_files  # noqa: PLC0415 - other questions need none of it

        files = {out / name: text for name, text in netbox_files(nation, select(nation, Node, selection)).items()}
    else:
        files = {out: _text(nation, form, selection)}
    for path, text in files.items():
        _write(path, text)
    rows = tuple({"file": path, "bytes": len(text.encode())} for path, text in files.items())
    present([Table(name="files", columns=_COLUMNS, rows=rows)], facts={"format": form}, as_json=as_json)


def _text(nation: Nation, form: Format, where: Selection) -> str:
    from scripts.nation_formats import ansible_text, file_sd_text, geojson_text  # noqa: PLC0415 - as above

    if form is Format.GEOJSON:
        among = (Site, Link)
        return geojson_text(nation, select(nation, Site, where, among=among), select(nation, Link, where, among=among))
    nodes = select(nation, Node, where)
    return ansible_text(nation, nodes) if form is Format.ANSIBLE else file_sd_text(nation, nodes)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as err:
        raise ExportError(
            "CGC-695",
            f"the export cannot be written: {err.strerror or err}",
            where=str(path),
            remedy="name a file (for netbox a directory) where you may write, on a disk with room",
        ) from err
