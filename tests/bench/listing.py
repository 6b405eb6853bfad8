"""P1: Ansible lists the hosts of the whole nation, from the declaration and from what people use instead."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inventories import load_nation
from playbooks.hosts import groups_of, hosts_of
from tests.bench.ansible_peers import script_of, yaml_of
from tests.bench.measuring import WHOLE_NATION, BenchError, Figure, Measurement, Ran, Row, in_turn, run, say

LIMIT_SECONDS, LIMIT_MB = 1.5, 120.0
SAMPLE = 200
ANSIBLE = Path(sys.executable).with_name("ansible")
ENABLED = "ANSIBLE_INVENTORY_ENABLED"


def measure() -> Measurement:
    """Compare the answers, then measure: ours and the script in turn, the YAML once."""
    nation = load_nation(WHOLE_NATION)
    hosts = hosts_of(nation)
    groups = groups_of(nation, hosts)
    source = WHOLE_NATION / "nation.yaml"
    sample = random.Random(942).sample([host.name for host in hosts], SAMPLE)  # noqa: S311 - a sample, not a secret
    with TemporaryDirectory() as place:
        script, static = script_of(hosts, groups, Path(place)), yaml_of(hosts, groups, Path(place))
        cache = {"CGC_CACHE": f"{place}/cache"}

        def ours() -> Ran:
            return run([ANSIBLE, "all", "-i", source, "--list-hosts"], **cache)

        def peer(path: Path, plugin: str) -> Ran:
            return run([ANSIBLE, "all", "-i", path, "--list-hosts"], **{ENABLED: plugin})

        say("  the first time after an edit")
        first = ours()
        say("  the answers")
        told = _view(source, sample, ENABLED="nation", **cache), _view(script, sample, ENABLED="script")
        if told[0] != told[1]:
            raise BenchError("the plugin and the script tell different hosts, groups or variables")
        works = {
            "ours": ours,
            "executable JSON": lambda: peer(script, "script"),
            "Ansible alone": lambda: run([ANSIBLE, "all", "-i", "one,", "--list-hosts"], **{ENABLED: "host_list"}),
        }
        taken = in_turn(works)
        say("  static YAML, once: it takes a minute or two")
        still = peer(static, "yaml")
        if not sorted(taken["ours"].output.split()) == sorted(still.output.split()):
            raise BenchError("the plugin and the YAML file list different hosts")
    mine, theirs = taken["ours"], taken["executable JSON"]
    return Measurement(
        figures=(
            Figure(
                name="P1 list hosts (s)",
                ours=mine.seconds,
                limit=LIMIT_SECONDS,
                peer=theirs.seconds,
                peer_name="executable JSON",
            ),
            Figure(
                name="P1 list hosts, peak (MB)",
                ours=mine.peak_mb,
                limit=LIMIT_MB,
                peer=theirs.peak_mb,
                peer_name="executable JSON",
            ),
            Figure(
                name="P1 list hosts (s)",
                ours=mine.seconds,
                limit=LIMIT_SECONDS,
                peer=still.seconds,
                peer_name="static YAML, one run",
            ),
            Figure(
                name="P1 list hosts, peak (MB)",
                ours=mine.peak_mb,
                limit=LIMIT_MB,
                peer=still.peak_mb,
                peer_name="static YAML, one run",
            ),
        ),
        notes={
            "hosts": len(hosts),
            "groups": len(groups),
            "variables_a_host": round(sum(len(host.variables) for host in hosts) / len(hosts), 1),
            "compared": f"all hosts, groups with members in order, and variables of {SAMPLE} hosts with the script; "
            "the listed hosts with the YAML file",
            "ansible_alone_seconds": taken["Ansible alone"].seconds,
            "ansible_alone_mb": taken["Ansible alone"].peak_mb,
            "first_time_after_an_edit_seconds": first.seconds,
            "first_time_after_an_edit_mb": first.peak_mb,
        },
    )


def _view(source: Path, sample: list[str], **environment: str) -> Mapping[str, Any]:
    plugin = environment.pop("ENABLED")
    asked = run([sys.executable, "-m", "tests.bench.ansible_view", source, *sample], **{ENABLED: plugin}, **environment)
    view: Mapping[str, Any] = json.loads(asked.output)
    return view


ROW = Row(
    code="P1",
    title="Ansible lists the hosts of the whole nation",
    needs="the Python environment, 2 GB of memory, three minutes",
    measure=measure,
)
