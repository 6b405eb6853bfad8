"""P17: `cgc rehearse up` from nothing running and when already up, with the memory that the machines use."""

from __future__ import annotations

import subprocess
import sys

from scripts.rehearsal.ground import Ground, ground_of
from scripts.rehearsal.raising import status
from tests.bench.measuring import ROOT, Figure, Measurement, Row, say, timed

LIMIT_UP_SECONDS, LIMIT_AGAIN_SECONDS, LIMIT_MEMORY_GIB = 300.0, 20.0, 8.0
REHEARSE = (sys.executable, "-m", "scripts", "rehearse")


def ground() -> Ground:
    """Return the rehearsal of this checkout."""
    return ground_of(ROOT / "inventories" / "rehearsal", checkout=ROOT)


def is_up(here: Ground) -> bool:
    """Whether any machine of the rehearsal runs."""
    return any(machine.is_on for machine in status(here.fabric).machines)


def raise_it() -> None:
    """Raise the rehearsal, without living the day on it."""
    subprocess.run([*REHEARSE, "up", "--no-day"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def measure() -> Measurement:
    """Raise the rehearsal twice; it is up afterwards. One that is up already is taken down first."""
    here = ground()
    if is_up(here):
        subprocess.run([*REHEARSE, "down"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    say("  up from nothing running")
    warm = timed(raise_it)
    say("  up when already up")
    again = timed(raise_it)
    used = sum(machine.memory_bytes or 0 for machine in status(here.fabric).machines)
    return Measurement(
        figures=(
            Figure(name="P17 up, warm (s)", ours=warm.seconds, limit=LIMIT_UP_SECONDS),
            Figure(name="P17 up, already up (s)", ours=again.seconds, limit=LIMIT_AGAIN_SECONDS),
            Figure(name="P17 memory (GiB)", ours=used / 2**30, limit=LIMIT_MEMORY_GIB),
        ),
        notes={"hosts": len(here.nation.nodes)},
    )


ROW = Row(
    code="P17",
    title="raise the rehearsal",
    needs="root and the set-up of `make bench`; it takes the rehearsal down and raises it again",
    measure=measure,
    needs_root=True,
)
