"""Where each fact of a nation is declared, so that whoever judges it can point at the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

from inventories.declaration import Declaration
from inventories.reading import Reader


def places_of(declaration: Declaration, reader: Reader) -> tuple[tuple[str, str], ...]:
    """Return (subject or subject.fact, file:line) for everything that is declared.

    Subjects are `platform/`, `cluster/`, `agency/`, `tier/`, `plane/` with an identifier, `level/` with a security
    level and `site/` with a unit's or a centre's code.
    """
    found: list[tuple[str, str]] = []
    listed: tuple[tuple[str, str, str, str, Sequence[object]], ...] = (
        ("platform", "id", "platforms.yaml", "platforms", declaration.platforms.platforms),
        ("cluster", "id", "clusters.yaml", "clusters", declaration.clusters.clusters),
        ("agency", "id", "agencies.yaml", "agencies", declaration.agencies.agencies),
        ("tier", "name", "tiers.yaml", "tiers", declaration.tiers.tiers),
        ("level", "level", "tiers.yaml", "log_retention", declaration.tiers.log_retention),
        ("plane", "name", "network.yaml", "planes", declaration.network.planes),
        ("site", "code", "centres.yaml", "centres", declaration.centres.centres),
    )
    for kind, key, file, path, things in listed:
        for index, thing in enumerate(things):
            subject = f"{kind}/{getattr(thing, key)}"
            found.append((subject, reader.place(file, path, index)))
            found.extend(
                (f"{subject}.{'.'.join(fact)}", reader.place(file, path, index, *fact)) for fact in _facts_of(thing)
            )
    found.extend(
        (f"site/{unit.code}", reader.place("units.csv", reader.row_of("units.csv", unit))) for unit in declaration.units
    )
    return tuple(found)


def _facts_of(thing: object) -> Iterator[tuple[str, ...]]:
    if not is_dataclass(thing):
        return
    for field in fields(thing):
        yield (field.name,)
        yield from ((field.name, *inner) for inner in _facts_of(getattr(thing, field.name)))
