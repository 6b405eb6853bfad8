"""A small fabric of its own, really raised: it stands, it is cut, it loses power, it is killed, and it leaves nothing.

Needs root and the base in the cache (built by the first run). Other rehearsals of this machine are not touched.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal import cabling, cgroups, kernel_limits, leftovers, machines, raising
from scripts.rehearsal.authority_ssh import issue_user_certificate
from scripts.rehearsal.fabric import Cable, Fabric, Machine
from scripts.rehearsal.identity import OPERATIONS, checkout_id, part_name
from scripts.rehearsal.mounts import current_mounts
from scripts.rehearsal.namespace import inside_network_namespace, network_namespaces
from scripts.rehearsal.programs import run_program
from scripts.rehearsal.records import recorded_rehearsals

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and machines need root"),
]

RAISE = (
    "import sys, pickle; from scripts.rehearsal import raising; raising.{}(pickle.loads(bytes.fromhex(sys.argv[1])){})"
)
# Kill moments are drawn anew each time this seed is changed, and are the same in every run of the test.
SEED = 942
LIMIT_BYTES = 512 * 1024 * 1024


def fabric_in(checkout: Path) -> Fabric:
    """Three machines in a row."""
    names = ("west", "middle", "east")
    return Fabric(
        checkout=checkout,
        checkout_id=checkout_id(checkout),
        state_directory=checkout / ".rehearsal",
        cache_directory=Path(os.environ.get("CGC_CACHE", Path.home() / ".cache/cgc")),
        machines=tuple(
            Machine(
                name=name,
                management4=IPv4Interface(f"10.213.0.{number}/24"),
                management6=IPv6Interface(f"fd00:213::{number}/64"),
                memory_limit_bytes=LIMIT_BYTES,
            )
            for number, name in enumerate(names, start=10)
        ),
        cables=(
            Cable(name="west--middle", ends=(("west", "middle"), ("middle", "west"))),
            Cable(name="middle--east", ends=(("middle", "east"), ("east", "middle"))),
        ),
        management_gateway4=IPv4Interface("10.213.0.1/24"),
        management_gateway6=IPv6Interface("fd00:213::1/64"),
    )


def traces(fabric: Fabric) -> list[str]:
    """Everything of this fabric that the machine shows, and the machine's own interfaces."""
    mark = fabric.checkout_id
    found = [name for name in network_namespaces() if mark in name]
    found += [str(mount.target) for mount in current_mounts() if mark in mount.source]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{mark}*")]
    found += [str(path) for path in Path("/run").rglob(f"*{mark}*")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if f"cgc-{mark}".encode() in command:
                found.append(f"process {entry.name}")
    links = run_program(["ip", "-brief", "link"], timeout_seconds=10)
    return sorted(found) + [line.split()[0] for line in links.splitlines()]


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    """Make a fabric of a checkout of its own; whatever the test left is taken down."""
    (tmp_path / "checkout").mkdir()
    fabric = fabric_in(tmp_path / "checkout")
    yield fabric
    raising.take_down(fabric)


def inside(fabric: Fabric, machine: str, command: str) -> str:
    """Run a shell command inside a machine."""
    return machines.run_inside(fabric, machine, ["sh", "-ec", command], timeout_seconds=20)


def carrier(fabric: Fabric, machine: str, interface: str) -> bool:
    """Whether a machine sees light on an interface."""
    return cabling.ports_of(part_name(fabric.checkout_id, machine))[interface].has_carrier


def test_a_fabric_stands_and_leaves_nothing(fabric: Fabric) -> None:
    """Machines boot and answer; a cut darkens both ends; power comes back with the disk; down leaves nothing."""
    before = traces(fabric)
    limit_before = kernel_limits.INOTIFY_INSTANCES.read_text()
    others = recorded_rehearsals()

    assert raising.raise_fabric(fabric, report=print)
    assert not raising.raise_fabric(fabric, report=print), "a second run had something to do"
    assert raising.status(fabric).is_whole
    limits = [group / "memory.limit_in_bytes" for group in cgroups.machine_groups(fabric.checkout_id, "west")]
    limits += [path.with_name("memory.max") for path in limits]
    assert [int(path.read_text()) for path in limits if path.exists()] == [LIMIT_BYTES]
    assert set(machines.read_wireguard_public_keys(fabric)) == {"west", "middle", "east"}
    assert inside(fabric, "west", "stat -c %a /etc/wireguard/node.key").strip() == "600"

    for machine, interface, address in (("west", "middle", "10.9.0.0/31"), ("middle", "west", "10.9.0.1/31")):
        inside(fabric, machine, f"ip address add {address} dev {interface}; ip link set {interface} up")
    inside(fabric, "west", "ping -c 3 -i 0.2 -W 2 10.9.0.1")
    cabling.cut(fabric, "west--middle")
    assert cabling.cut_cables(fabric) == {"west--middle"}
    assert not carrier(fabric, "west", "middle")
    assert not carrier(fabric, "middle", "west")
    with pytest.raises(ScriptError, match="CGC-702"):
        inside(fabric, "west", "ping -c 1 -W 1 10.9.0.1")
    assert not raising.raise_fabric(fabric, report=print), "raising must not splice what was cut"
    assert cabling.is_cut(fabric, "west--middle")
    cabling.splice(fabric, "west--middle")
    inside(fabric, "west", "ping -c 3 -i 0.2 -W 2 10.9.0.1")

    inside(fabric, "middle", "echo kept >/root/note")
    for abruptly in (True, False):
        assert machines.power_off(fabric, "middle", abruptly=abruptly)
        assert not machines.power_off(fabric, "middle")
        assert not carrier(fabric, "west", "middle"), "a machine without power sends no light"
        with pytest.raises(ScriptError, match="CGC-708"):
            inside(fabric, "middle", "true")
        assert machines.power_on(fabric, "middle")
        assert inside(fabric, "middle", "cat /root/note") == "kept\n"

    raising.take_down(fabric)
    assert traces(fabric) == before
    assert not (fabric.state_directory / "machines").exists()
    if not others:
        assert kernel_limits.INOTIFY_INSTANCES.read_text() == limit_before


def test_only_certificates_open_a_machine(fabric: Fabric) -> None:
    """An operator's certificate logs in over IPv4 and IPv6, and its name is in the journal.

    A bare key does not log in; one node's certificate does not open another; a forced command is all that runs.
    """
    raising.raise_fabric(fabric, report=print)
    authority = machines.authority_of(fabric)

    def log_in(host: str, key: Path, command: str) -> str:
        options = ("BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={authority.known_hosts}")
        argv = ["ssh", "-F", "none", "-i", str(key), *(f"-o{option}" for option in options), f"root@{host}", command]
        with inside_network_namespace(part_name(fabric.checkout_id, OPERATIONS)):
            return run_program(argv, timeout_seconds=20)

    operator = issue_user_certificate(authority, operator="nguyen.van.a", valid_seconds=600)
    assert log_in("10.213.0.10", operator.private_key, "hostname") == "west\n"
    assert log_in("fd00:213::10", operator.private_key, "hostname") == "west\n"
    journal = log_in("10.213.0.10", operator.private_key, "journalctl -u ssh --no-pager -o cat")
    assert "nguyen.van.a" in journal

    one = issue_user_certificate(authority, operator="b", principals=("node:west",), valid_seconds=600)
    assert log_in("10.213.0.10", one.private_key, "hostname") == "west\n"
    with pytest.raises(ScriptError, match="Permission denied"):
        log_in("10.213.0.11", one.private_key, "hostname")

    reader = issue_user_certificate(authority, operator="c", valid_seconds=600, force_command="echo only this")
    assert log_in("10.213.0.10", reader.private_key, "rm -rf /") == "only this\n"
    reader.certificate.unlink()
    with pytest.raises(ScriptError, match="Permission denied"):
        log_in("10.213.0.10", reader.private_key, "hostname")


def run_raising(fabric: Fabric, function: str, more: str = "") -> subprocess.Popen[bytes]:
    """Start a run of its own, that can be killed."""
    import pickle  # noqa: PLC0415 - only this helper needs it

    return subprocess.Popen(
        [sys.executable, "-c", RAISE.format(function, more), pickle.dumps(fabric).hex()], stdout=subprocess.DEVNULL
    )


def test_a_run_killed_at_any_moment_can_be_finished_or_undone(fabric: Fabric) -> None:
    """After kill -9 of a raising or a taking down, another raising succeeds, and a taking down leaves nothing."""
    before = traces(fabric)
    moments = random.Random(SEED)  # noqa: S311 - moments, not secrets
    for round_number in range(6):
        run = run_raising(fabric, "raise_fabric", ", report=print")
        time.sleep(moments.uniform(0.2, 1.8))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if round_number % 2:
            raising.raise_fabric(fabric, report=print)
            assert raising.status(fabric).is_whole
            run = run_raising(fabric, "take_down")
            time.sleep(moments.uniform(0.2, 0.8))
            run.send_signal(signal.SIGKILL)
            run.wait()
        raising.take_down(fabric)
        assert traces(fabric) == before


def test_a_dead_rehearsal_is_found_and_removed_by_any_checkout(fabric: Fabric, tmp_path: Path) -> None:
    """One whose machines run belongs to somebody; once its checkout is gone, it is dead and can be removed."""
    before = traces(fabric)
    raising.raise_fabric(fabric, report=print)
    identity = fabric.checkout_id
    mine = [rehearsal for rehearsal in leftovers.find_rehearsals() if rehearsal.checkout_id == identity]
    assert mine[0].running_machines == ("east", "middle", "west")
    assert identity not in {rehearsal.checkout_id for rehearsal in leftovers.find_leftovers()}
    fabric.checkout.rename(tmp_path / "moved")
    assert identity in {rehearsal.checkout_id for rehearsal in leftovers.find_leftovers()}
    leftovers.remove_leftover(identity)
    assert traces(fabric) == before
    (tmp_path / "moved").rename(fabric.checkout)
