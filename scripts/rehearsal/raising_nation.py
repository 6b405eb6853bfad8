"""Bring a rehearsal up: images, machines, credentials, enrolment, and then what an operator would do: converge.

Every step keeps what is there already, so that a second `up` of an unchanged rehearsal takes seconds, and one after a
crash takes up where it broke off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from inventories.model import Role
from scripts.converging import Convergence, converge_nation, failure_of
from scripts.enrolling import keep_public_keys
from scripts.planned import STANDIN
from scripts.rehearsal.base_image import open_base
from scripts.rehearsal.container_images import TOOLCHAIN_PROGRAMS, import_images, kubernetes_images, standin_image
from scripts.rehearsal.containerd_store import open_store
from scripts.rehearsal.credentials import make_credentials
from scripts.rehearsal.ground import Ground
from scripts.rehearsal.machines import read_wireguard_public_keys
from scripts.rehearsal.raising import raise_fabric, require_root
from scripts.toolchain.cache import program_path


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of bringing the rehearsal up, and how long it took."""

    name: str
    seconds: float


def raise_nation(ground: Ground, *, report: Callable[[str], None]) -> tuple[tuple[Step, ...], Convergence]:
    """Raise everything and converge it; return the steps and what converging did.

    The first failure of converging is raised (CGC-654): what runs by then stays for whoever looks into it.
    """
    require_root()
    steps: list[Step] = []
    began = time.monotonic()

    def done(name: str) -> None:
        nonlocal began
        steps.append(Step(name=name, seconds=round(time.monotonic() - began, 1)))
        report(f"{name}: {steps[-1].seconds} s")
        began = time.monotonic()

    fabric = ground.fabric
    cache = fabric.cache_directory
    base = open_base(cache, report=report)
    done("base system")
    programs = {name: program_path(name) for name in TOOLCHAIN_PROGRAMS}
    images = kubernetes_images(programs, base=base, cache=cache, report=report)
    standin = standin_image(STANDIN, base=base, cache=cache, report=report)
    store = open_store((*images, standin), base=base, cache=cache, report=report)
    done("container images")
    make_credentials(ground.nation, ground.access.state, now=datetime.now(UTC))
    raise_fabric(fabric, report=report, container_store=store)
    done("machines")
    keep_public_keys(ground.access.state, read_wireguard_public_keys(fabric))
    for node in ground.nation.with_role(Role.CLUSTER):
        import_images(fabric, node.name, (*images, standin))
    done("enrolment")
    convergence = converge_nation(ground.nation, ground.access, is_applied=True, report=report)
    done("convergence")
    failure = failure_of(convergence)
    if failure is not None:
        raise failure
    return tuple(steps), convergence
