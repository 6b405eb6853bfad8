"""`make bench`: measure the targets on this machine, each beside its peer, in one run, interleaved, as ratios.

P5  a run that changes nothing over the rehearsal's hosts: ours (one fingerprint a host) beside plain Ansible tasks
    for six files and two units a host. Both must say that nothing changed.
P17 `cgc rehearse up` from nothing running and when already up, with the memory that the machines use.

Writes bench/results.json and prints a table. Needs root, and the set-up of `make bench`.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from playbooks.rendering import render_all
from playbooks.running import HostState, run_play
from scripts.converging import Outcome, converge_nodes
from scripts.enrolling import enrolment_of
from scripts.playing import identity_of
from scripts.rehearsal.ground import Ground, ground_of
from scripts.rehearsal.raising import status

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results.json"
PLAIN = Path(__file__).with_name("plain_tasks.yml")
ROUNDS = 5
FILES = (
    "/etc/chrony/chrony.conf",
    "/etc/frr/daemons",
    "/etc/frr/frr.conf",
    "/etc/nftables.conf",
    "/etc/resolv.conf",
    "/etc/sysctl.d/60-cgc.conf",
)
UNITS = ("frr.service", "chrony.service")
LIMIT_UP_SECONDS, LIMIT_AGAIN_SECONDS, LIMIT_MEMORY_GIB = 300.0, 20.0, 8.0
LIMIT_P5_SECONDS = 2.0


def say(line: str) -> None:
    """Say on standard error what is measured now."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall seconds and processor seconds (this process and its ended children) of a piece of work."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    began = time.monotonic()
    work()
    wall = time.monotonic() - began
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    return wall, cpu


def up(ground: Ground) -> dict[str, float]:
    """Measure P17; the rehearsal is up afterwards. A rehearsal that is up already is taken down first."""
    command = [sys.executable, "-m", "scripts", "rehearse"]
    if any(machine.is_on for machine in status(ground.fabric).machines):
        subprocess.run([*command, "down"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, float] = {}
    for name in ("warm_seconds", "again_seconds"):
        say(f"P17: cgc rehearse up --no-day ({name})")
        began = time.monotonic()
        subprocess.run([*command, "up", "--no-day"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found[name] = time.monotonic() - began
    used = sum(machine.memory_bytes or 0 for machine in status(ground.fabric).machines)
    return {**found, "memory_gib": used / 2**30}


def unchanged(ground: Ground) -> dict[str, float]:
    """Measure P5, ours and the peer's in turn, and hold their answers against each other."""
    access, nation = ground.access, ground.nation
    bundles = render_all(nation, enrolment_of(nation, access.state, now=datetime.now(UTC)))
    plain = access.state / "plain"
    for name, bundle in bundles.items():
        for file in bundle.files:
            if file.path in FILES:
                path = Path(f"{plain}/{name}{file.path}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.content)
                path.chmod(file.mode)

    def ours() -> None:
        outcomes = converge_nodes(nation, access, is_applied=True, report=lambda _line: None)
        assert {node.outcome for node in outcomes} == {Outcome.AS_DECLARED}, outcomes

    def peer() -> None:
        with access.network():
            result = run_play(
                PLAIN,
                nation=nation,
                identity=identity_of(access),
                directory=access.state / "runs" / "plain",
                variables={"plain_directory": str(plain), "plain_files": FILES, "plain_units": UNITS},
            )
        assert {host.state for host in result.hosts} == {HostState.UNCHANGED}, result.hosts

    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for number in range(ROUNDS):
        for name, work in (("ours", ours), ("peer", peer)):
            say(f"P5: {name}, round {number + 1} of {ROUNDS}")
            taken[name].append(measured(work))
    return {
        f"{name}_{part}_seconds": statistics.median(pair[index] for pair in pairs)
        for name, pairs in taken.items()
        for index, part in enumerate(("wall", "cpu"))
    }


def main() -> int:
    """Measure, write and print."""
    if os.geteuid() != 0:
        sys.stderr.write("the bench raises the rehearsal, which needs root: run `sudo make bench`\n")
        return 2
    ground = ground_of(ROOT / "inventories" / "rehearsal", checkout=ROOT)
    p17 = up(ground)
    p5 = unchanged(ground)
    rows = {
        "P5 no change, wall": (p5["ours_wall_seconds"], p5["peer_wall_seconds"], LIMIT_P5_SECONDS),
        "P5 no change, controller CPU": (p5["ours_cpu_seconds"], p5["peer_cpu_seconds"], 1.0),
        "P17 up, warm (s)": (p17["warm_seconds"], None, LIMIT_UP_SECONDS),
        "P17 up, already up (s)": (p17["again_seconds"], None, LIMIT_AGAIN_SECONDS),
        "P17 memory (GiB)": (p17["memory_gib"], None, LIMIT_MEMORY_GIB),
    }
    about: Mapping[str, object] = {
        "at": datetime.now(UTC).isoformat(),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
        "versions": {name: version(name) for name in ("ansible-core", "asyncssh", "pulumi")},
        "hosts": len(ground.nation.nodes),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**about, "P5": p5, "P17": p17}, indent=1))
    sys.stdout.write(f"{'target':32} {'ours':>8} {'peer':>8} {'ours/peer':>10} {'ours/target':>12}\n")
    for name, (mine, theirs, target) in rows.items():
        beside = f"{theirs:8.2f} {mine / theirs:10.3f}" if theirs else f"{'–':>8} {'–':>10}"
        sys.stdout.write(f"{name:32} {mine:8.2f} {beside} {mine / target:12.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
