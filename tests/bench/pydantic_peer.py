"""The peer of P2: the same declaration as pydantic models, read from JSON, with its references but no overlaps checked.

The models are made from the declaration's own types, with the same patterns and bounds, so that both know as much.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, create_model

from inventories.constraints import Between, Pattern
from inventories.declaration import Declaration


def as_json(declaration: Declaration) -> bytes:
    """Return what the peer reads."""
    return msgspec.json.encode(declaration, enc_hook=str)


@cache
def model_of(kind: type) -> type[BaseModel]:
    """Return the pydantic model of a dataclass of the declaration."""
    hints = typing.get_type_hints(kind, include_extras=True)
    made: dict[str, Any] = {
        item.name: (_translated(hints[item.name]), ... if item.default is MISSING else item.default)
        for item in fields(typing.cast("Any", kind))
    }
    model: type[BaseModel] = create_model(kind.__name__, __config__=ConfigDict(extra="forbid", frozen=True), **made)
    return model


def _translated(wanted: Any) -> Any:
    if typing.get_origin(wanted) is Annotated:
        inner, constraint = typing.get_args(wanted)[:2]
        if isinstance(constraint, Pattern):
            return Annotated[inner, Field(pattern=f"^(?:{constraint.expression})$")]
        if isinstance(constraint, Between):
            return Annotated[inner, Field(ge=constraint.least, le=constraint.most)]
    if isinstance(wanted, types.UnionType):
        inner = next(choice for choice in typing.get_args(wanted) if choice is not types.NoneType)
        return _translated(inner) | None
    if typing.get_origin(wanted) is tuple:
        items = (item if item is Ellipsis else _translated(item) for item in typing.get_args(wanted))
        return types.GenericAlias(tuple, tuple(items))
    return model_of(wanted) if is_dataclass(wanted) and isinstance(wanted, type) else wanted


def read(text: bytes) -> Any:
    """Return the declaration as pydantic models; ValueError where a type, a bound or a reference is wrong."""
    found: Any = model_of(Declaration).model_validate_json(text)
    units = _unique("unit", (unit.code for unit in found.units))
    centres = _unique("centre", (centre.code for centre in found.centres.centres))
    agencies = _unique("agency", (agency.id for agency in found.agencies.agencies))
    clusters = _unique("cluster", (cluster.id for cluster in found.clusters.clusters))
    platforms = _unique("platform", (platform.id for platform in found.platforms.platforms))
    objectives = _unique("objective", (objective.id for objective in found.objectives.objectives))
    rule = found.agencies.each_province
    if rule is not None:
        agencies |= {rule.id.replace("{code}", unit.code) for unit in found.units if unit.level == "province"}
    _known("unit", (unit.parent for unit in found.units), units)
    _known("centre", (centre.attached_to for centre in found.centres.centres), centres)
    _known("site", (cluster.site for cluster in found.clusters.clusters), units | centres)
    _known("agency", (cluster.operator for cluster in found.clusters.clusters), agencies)
    for platform in found.platforms.platforms:
        _known("agency", (platform.owner,), agencies)
        _known("cluster", platform.clusters, clusters)
        _known("platform", platform.needs, platforms)
        _known("objective", (platform.objective,), objectives)
    return found


def _unique(noun: str, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name in found:
            raise ValueError(f"two of one name: {noun} {name}")
        found.add(name)
    return found


def _known(noun: str, names: Iterable[str | None], known: set[str]) -> None:
    for name in names:
        if name is not None and name not in known:
            raise ValueError(f"no such {noun}: {name}")
