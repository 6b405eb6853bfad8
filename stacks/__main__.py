"""What plain `pulumi preview -s CLUSTER` runs; the stack's settings say the rest.

Settings: `cgc:declaration` (a directory), `cgc:image`, `cgc:kubeconfig` (a path), `cgc:provider` (`official` or
`built-in`: what the stack was converged by). `cgc preview` writes them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pulumi

from inventories import load_nation
from stacks.errors import StackError
from stacks.plugins import Plugin, refuse_change
from stacks.program import register_cluster
from stacks.provider.install import is_builtin_provider, plugin_path


def main() -> None:
    """Register the stack's cluster with the engine that runs this program."""
    settings, stack = pulumi.Config(), pulumi.get_stack()
    nation = load_nation(Path(settings.require("declaration")))
    if stack not in nation.cluster_by_id:
        raise StackError(
            "CGC-257",
            "the declaration has no cluster of this name",
            where=f"stack {stack}",
            remedy=f"select one of {', '.join(sorted(nation.cluster_by_id))}",
        )
    home = Path(os.environ.get("PULUMI_HOME", "~/.pulumi")).expanduser()
    available = Plugin.BUILT_IN if is_builtin_provider(plugin_path(home)) else Plugin.OFFICIAL
    recorded = settings.get("provider")
    refuse_change(recorded=Plugin(recorded) if recorded else None, available=available, stack=stack)
    register_cluster(
        nation,
        nation.cluster_by_id[stack],
        image=settings.require("image"),
        kubeconfig=settings.require("kubeconfig"),
        plugin=available,
    )


if __name__ == "__main__":
    main()
