"""Which Kubernetes provider plugin a stack is converged by: the official one, or the built-in one.

Their states are not interchangeable (the official plugin keeps notes of its own in every object's state), so a stack
records which of the two it uses, twice: in its configuration, and in its state as the name of the provider resource.
"""

from __future__ import annotations

import re
from enum import StrEnum

from stacks.errors import StackError


class Plugin(StrEnum):
    """The two provider plugins."""

    OFFICIAL = "official"
    BUILT_IN = "built-in"

    @property
    def resource_name(self) -> str:
        """The name of the provider resource of a stack that uses this plugin."""
        return f"kubernetes-{self.value}"


_RECORDED = re.compile(r"::pulumi:providers:kubernetes::kubernetes-(?P<plugin>[a-z-]+)$")


def recorded_in_urn(urn: str) -> Plugin | None:
    """Return the plugin that a resource of a stack's state records; None for any resource but our provider's."""
    found = _RECORDED.search(urn)
    return Plugin(found["plugin"]) if found else None


def refuse_change(*, recorded: Plugin | None, available: Plugin, stack: str) -> None:
    """Raise StackError CGC-254 when a stack would be converged by another plugin than the one that it records."""
    if recorded is None or recorded is available:
        return
    cure = (
        "remove the official plugin's folder from $PULUMI_HOME/plugins, so that the built-in provider is used"
        if recorded is Plugin.BUILT_IN
        else "install it: `pulumi plugin install resource kubernetes`, on a network that can reach it"
    )
    raise StackError(
        "CGC-254",
        f"the stack was converged by the {recorded.value} Kubernetes provider, and here is the {available.value} one; "
        "their states are not interchangeable",
        where=f"stack {stack}",
        remedy=f"{cure}; to move the stack, delete its objects with the old one first (`pulumi destroy`)",
    )
