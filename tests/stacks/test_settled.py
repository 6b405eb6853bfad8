"""What a stack brought about is remembered for exactly what it was, and forgotten before the next run begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inventories.model import Nation
from stacks.assignment import Assignment
from stacks.plugins import Plugin
from stacks.settled import settle, settled, unsettle, wanted
from stacks.workshop import Workshop

IMAGE = "registry.rehearsal.test/cgc/platform-standin:0a1b2c"


def test_whatever_the_engine_would_act_on_is_part_of_what_is_wanted(nation: Nation) -> None:
    """Another object, cluster, image, plugin or way to the API is another thing to bring about; else it is the same."""
    north, south = (nation.cluster_by_id[name] for name in ("cgc-north", "cgc-south"))
    given = Assignment(nation=nation, cluster=north, image=IMAGE, kubeconfig=Path("north.yaml"))
    more = tuple(
        replace(platform, replicas=platform.replicas + 1) if platform.id == "nixa" else platform
        for platform in nation.platforms
    )
    others = [
        replace(given, cluster=south),
        replace(given, image=f"{IMAGE}d"),
        replace(given, kubeconfig=Path("south.yaml")),
        replace(given, nation=replace(nation, platforms=more)),
    ]
    hashes = [wanted(each, Plugin.BUILT_IN) for each in (given, *others)] + [wanted(given, Plugin.OFFICIAL)]
    assert len(set(hashes)) == len(hashes)
    assert wanted(replace(given), Plugin.BUILT_IN) == hashes[0]


def test_a_run_that_did_not_end_is_not_settled(tmp_path: Path) -> None:
    """Nothing is settled before the first run, nor from a run's beginning until its end."""
    workshop = Workshop(directory=tmp_path, pulumi=Path("pulumi"), python=Path("python"))
    assert settled(workshop, "cgc-north") == ""
    unsettle(workshop, "cgc-north")
    settle(workshop, "cgc-north", "0a")
    assert (settled(workshop, "cgc-north"), settled(workshop, "cgc-south")) == ("0a", "")
    unsettle(workshop, "cgc-north")
    assert settled(workshop, "cgc-north") == ""
