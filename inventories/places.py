"""Where each fact of a nation is declared, so that whoever judges it can point at the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

from inventories.declaration import Declaration
from inventories.model import Place
from inventories.reading import Reader


def places_of(declaration: Declaration, reader: Reader) -> tuple[Place, ...]:
    """Return the place of everything that is declared, and of its facts.

    Subjects are `platform/`, `cluster/`, `agency/`, `objective/`, `tier/`, `plane/`, `ring/`, `link-class/` and
    `tenancy-class/` with an identifier, `level/` with a security level, `site/` with a unit's or a centre's code, and
    `network` and `provincial-agency` by themselves.
    """
    found: list[Place] = []
    listed: tuple[tuple[str, str, str, str, Sequence[object]], ...] = (
        ("platform", "id", "platforms.yaml", "platforms", declaration.platforms.platforms),
        ("cluster", "id", "clusters.yaml", "clusters", declaration.clusters.clusters),
        ("agency", "id", "agencies.yaml", "agencies", declaration.agencies.agencies),
        ("tier", "name", "tiers.yaml", "tiers", declaration.tiers.tiers),
        ("level", "level", "tiers.yaml", "log_retention", declaration.tiers.log_retention),
        ("plane", "name", "network.yaml", "planes", declaration.network.planes),
        ("tenancy-class", "name", "network.yaml", "tenancy_classes", declaration.network.tenancy_classes),
        ("link-class", "name", "network.yaml", "link_classes", declaration.network.link_classes),
        ("ring", "name", "network.yaml", "rings", declaration.network.rings),
        ("objective", "id", "objectives.yaml", "objectives", declaration.objectives.objectives),
        ("site", "code", "centres.yaml", "centres", declaration.centres.centres),
    )
    for kind, key, file, path, things in listed:
        home = reader.home_of(file)
        for index, thing in enumerate(things):
            subject = f"{kind}/{getattr(thing, key)}"
            found.append(Place(subject, home, reader.line(file, path, index)))
            found.extend(
                Place(f"{subject}.{'.'.join(fact)}", home, reader.line(file, path, index, *fact))
                for fact in _facts_of(thing)
            )
    network, agencies = reader.home_of("network.yaml"), reader.home_of("agencies.yaml")
    found.extend(
        Place(f"network.{'.'.join(fact)}", network, reader.line("network.yaml", *fact))
        for fact in _facts_of(declaration.network)
    )
    if declaration.agencies.each_province is not None:
        line = reader.line("agencies.yaml", "each_province", "id")
        found.append(Place("provincial-agency", agencies, line))
    units = "units.csv"
    found.extend(
        Place(f"site/{unit.code}", units, reader.line(units, reader.row_of(units, unit))) for unit in declaration.units
    )
    return tuple(found)


def _facts_of(thing: object) -> Iterator[tuple[str, ...]]:
    if not is_dataclass(thing):
        return
    for field in fields(thing):
        yield (field.name,)
        yield from ((field.name, *inner) for inner in _facts_of(getattr(thing, field.name)))
