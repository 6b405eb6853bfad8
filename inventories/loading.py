"""Load a nation: from its text, or from the compiled form of exactly that text (inventories/compiled.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from inventories import compiled
from inventories.checking import check
from inventories.declaration import (
    AgenciesFile,
    CentresFile,
    ClustersFile,
    Declaration,
    NationFile,
    NetworkFile,
    ObjectivesFile,
    OverridesFile,
    PlatformsFile,
    TiersFile,
)
from inventories.expansion import nation_of
from inventories.model import Nation, Override, Place, Unit
from inventories.places import places_of
from inventories.reading import Reader


def load_nation(directory: Path, *, today: date | None = None) -> Nation:
    """Return the nation that the declaration in `directory` makes.

    `today` (UTC) decides which overrides are past their date. Raises `DeclarationRefusedError` with every problem.
    """
    declaration, places = load_declaration(directory, today=today)
    return nation_of(declaration, directory, places)


def load_declaration(directory: Path, *, today: date | None = None) -> tuple[Declaration, tuple[Place, ...]]:
    """Return the sound declaration in `directory`, with the place of everything that it declares."""
    day = today or datetime.now(UTC).date()
    form = compiled.form_of(directory)
    found = compiled.load(form, today=day) if form is not None else None
    if found is None:
        found = read_text(directory, today=day)
        if form is not None and compiled.form_of(directory) == form:  # nobody changed the text while it was read
            compiled.save(form, found)
    return found


def read_text(directory: Path, *, today: date) -> tuple[Declaration, tuple[Place, ...]]:
    """Read and check a declaration's text; return it with the place of everything that it declares."""
    reader = Reader(directory)
    declaration = read_declaration(reader)
    check(declaration, reader, today=today)
    reader.refuse_if_wrong()
    return declaration, places_of(declaration, reader)


def read_declaration(reader: Reader) -> Declaration:
    """Read every file of a declaration; references are not checked yet."""
    nation = reader.read("nation.yaml", NationFile)
    if nation is not None and nation.based_on is not None:
        _base_on(nation.based_on, reader)
    units = reader.read_rows("units.csv", Unit)
    centres = reader.read("centres.yaml", CentresFile)
    network = reader.read("network.yaml", NetworkFile)
    tiers = reader.read("tiers.yaml", TiersFile)
    clusters = reader.read("clusters.yaml", ClustersFile)
    agencies = reader.read("agencies.yaml", AgenciesFile)
    platforms = reader.read("platforms.yaml", PlatformsFile)
    objectives = reader.read("objectives.yaml", ObjectivesFile)
    overrides: list[Override] = []
    for path in sorted((reader.directory / "overrides").glob("*.yml")):
        reader.complain("CGC-101", f"{path}:1", "would not be read", "call it .yaml, as every file of a declaration is")
    for path in sorted((reader.directory / "overrides").glob("*.yaml")):
        file = f"overrides/{path.name}"
        read = reader.read(file, OverridesFile)
        for index, override in enumerate(read.overrides if read else ()):
            overrides.append(replace(override, place=f"{file}:{reader.line(file, 'overrides', index)}"))
    reader.refuse_if_wrong()
    # after refuse_if_wrong every file was read; the assertions tell the type checker
    assert nation and centres and network and tiers and clusters and agencies and platforms and objectives  # noqa: PT018, S101
    return Declaration(
        nation=nation,
        units=tuple(sorted(units, key=lambda unit: unit.code)),
        centres=centres,
        network=network,
        tiers=tiers,
        clusters=clusters,
        agencies=agencies,
        platforms=platforms,
        objectives=objectives,
        overrides=tuple(sorted(overrides, key=lambda item: (item.subject, item.fact))),
    )


def _base_on(base: str, reader: Reader) -> None:
    there = reader.directory / base
    try:
        is_another = (there / "nation.yaml").is_file() and there.resolve() != reader.directory.resolve()
    except (OSError, ValueError):  # a name that no file can have
        is_another = False
    if is_another:
        reader.base = base
        return
    place = reader.place("nation.yaml", "based_on")
    what = f"is based on {base!r}, where no other declaration is"
    reader.complain("CGC-107", place, what, "name another declaration's directory, relative to this one")
