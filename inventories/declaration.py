"""What each file of a declaration holds, where that is not itself a noun of the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from inventories.constraints import Between, Pattern
from inventories.model import (
    Agency,
    AsNumber,
    Centre,
    Cluster,
    DualStack,
    Identifier,
    LinkClass,
    LogRetention,
    Override,
    Plane,
    Platform,
    Port,
    ServiceObjective,
    TenancyClass,
    Text,
    TierRules,
    Unit,
)

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, 2.1


@dataclass(frozen=True, kw_only=True)
class NationFile:
    """nation.yaml: what the nation is called."""

    name: Identifier
    title: Text
    scheme: Annotated[str, Pattern(r"2021|2025", "2021 or 2025, the administrative scheme")]
    domain: Annotated[str, Pattern(rf"{_LABEL}(\.{_LABEL})+", "a domain name of at least two labels")]
    based_on: str | None = None  # another declaration's directory, relative to this one: files not here are read there


@dataclass(frozen=True, kw_only=True)
class CentresFile:
    """centres.yaml: the sites that are no administrative units."""

    centres: tuple[Centre, ...]


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The prefixes that numbers are added to (inventories/numbering.py)."""

    loopbacks: DualStack
    links: DualStack  # from a node up
    overlays: DualStack
    management: DualStack
    backbone: DualStack  # links between core sites
    sites: DualStack  # what sites hand over to their agencies


@dataclass(frozen=True, kw_only=True)
class BackboneLink:
    """A link between two regional centres in one plane."""

    plane: str
    ends: tuple[str, str]
    link_class: str
    route: str


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A metropolitan ring: core sites in their order around it; each is linked to the next, the last to the first."""

    name: Identifier
    sites: tuple[str, ...]
    link_class: str


@dataclass(frozen=True, kw_only=True)
class BgpRules:
    """How sessions behave: hold time (a third of it is the keepalive, RFC 4271) and the limit per neighbour."""

    hold: timedelta
    maximum_prefixes: Annotated[int, Between(1, 10_000_000)]


@dataclass(frozen=True, kw_only=True)
class NetworkFile:
    """network.yaml: the network's design rules."""

    planes: tuple[Plane, ...]
    as_number_base: AsNumber
    pools: Pools
    link_classes: tuple[LinkClass, ...]
    backbone: tuple[BackboneLink, ...]
    tenancy_classes: tuple[TenancyClass, ...]
    bgp: BgpRules
    wireguard_port: Port
    rings: tuple[Ring, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TiersFile:
    """tiers.yaml: what each cloud tier demands, and for how long logs are kept."""

    tiers: tuple[TierRules, ...]
    log_retention: tuple[LogRetention, ...]


@dataclass(frozen=True, kw_only=True)
class ClustersFile:
    """clusters.yaml."""

    clusters: tuple[Cluster, ...]


@dataclass(frozen=True, kw_only=True)
class ProvincialAgency:
    """The rule for provinces that declare no agency of their own.

    `{code}` and `{name}` stand for the province's, `{id}` in the contact for the agency's, `{domain}` for the nation's.
    """

    id: Annotated[str, Pattern(r"[a-z0-9-]{0,30}\{code\}", "an identifier that ends with {code}")]
    name: Text
    contact: str


@dataclass(frozen=True, kw_only=True)
class AgenciesFile:
    """agencies.yaml."""

    agencies: tuple[Agency, ...]
    each_province: ProvincialAgency | None = None


@dataclass(frozen=True, kw_only=True)
class PlatformsFile:
    """platforms.yaml."""

    platforms: tuple[Platform, ...]


@dataclass(frozen=True, kw_only=True)
class ObjectivesFile:
    """objectives.yaml."""

    objectives: tuple[ServiceObjective, ...]


@dataclass(frozen=True, kw_only=True)
class OverridesFile:
    """A file of overrides/."""

    overrides: tuple[Override, ...]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Every file of a declaration, read and typed but not yet expanded."""

    nation: NationFile
    units: tuple[Unit, ...]
    centres: CentresFile
    network: NetworkFile
    tiers: TiersFile
    clusters: ClustersFile
    agencies: AgenciesFile
    platforms: PlatformsFile
    objectives: ObjectivesFile
    overrides: tuple[Override, ...]
