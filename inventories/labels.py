"""Names that a cluster's objects carry and that more than one room must know: label keys, groups, users.

A key's prefix is the nation's own domain, so that no other tool's label is ever mistaken for ours (Kubernetes, "Labels
and Selectors": unprefixed keys are private to the user).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from inventories.model import Agency, Nation, Tenancy

MANAGER = "cgc"  # the value of the label `managed-by` on everything that this toolkit declares
OBSERVER = "cgc-observer"  # the Kubernetes user that exporters and drift read as; may read no secret


class Label(StrEnum):
    """The part of a label's or an annotation's key after its prefix."""

    MANAGED_BY = "managed-by"
    AGENCY = "agency"
    PLATFORM = "platform"
    TIER = "tier"
    LEVEL = "level"
    # annotations
    CONTACT = "contact"
    TITLE = "title"
    REFERENCE = "reference"
    CONFIGURATION = "configuration-hash"

    def on(self, nation: Nation) -> str:
        """Return the whole key, such as `cgc.dientap.test/agency`."""
        return f"cgc.{nation.domain}/{self.value}"


def managed(nation: Nation) -> Mapping[str, str]:
    """Return the label that every object of ours carries; also the selector of our namespaces."""
    return MappingProxyType({Label.MANAGED_BY.on(nation): MANAGER})


def tenancy_labels(nation: Nation, tenancy: Tenancy) -> Mapping[str, str]:
    """Return the labels of everything in a tenancy: whose it is, which platform, tier and security level."""
    return MappingProxyType(
        {
            **managed(nation),
            Label.AGENCY.on(nation): tenancy.agency.id,
            Label.PLATFORM.on(nation): tenancy.platform.id,
            Label.TIER.on(nation): tenancy.cluster.tier.value,
            Label.LEVEL.on(nation): str(tenancy.platform.level),
        }
    )


def agency_group(agency: Agency) -> str:
    """Return the Kubernetes group of an agency's own people."""
    return f"agency:{agency.id}"
