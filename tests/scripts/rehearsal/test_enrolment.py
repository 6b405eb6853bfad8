"""A machine leaves the factory with a name, and trusting the operators' authority alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from scripts.rehearsal.enrolment import KUBERNETES_MARKER, factory_texts, host_principals
from scripts.rehearsal.fabric import Machine

MACHINE = Machine(
    name="core-a-hn",
    management4=IPv4Interface("10.9.0.10/24"),
    management6=IPv6Interface("fd09::a/64"),
    ssh_principals=("10.0.0.1",),
)


def test_a_machine_lets_operators_in_and_its_own_name_holders() -> None:
    """A certificate for all machines or for this one opens it; one for another machine does not."""
    texts = factory_texts(MACHINE, machine_id="0" * 32, operators_authority="ssh-ed25519 AAAA authority\n")
    assert texts[Path("etc/ssh/principals/root")].splitlines() == ["operator", "node:core-a-hn"]
    assert texts[Path("etc/ssh/operators_authority.pub")] == "ssh-ed25519 AAAA authority\n"


def test_a_machine_proves_all_its_names() -> None:
    """Its name, both management addresses, and the names that the nation gives it."""
    assert host_principals(MACHINE) == ("core-a-hn", "10.9.0.10", "fd09::a", "10.0.0.1")


def test_only_cluster_hosts_are_prepared_for_kubernetes() -> None:
    """A router gets no writable control groups and no shadowed kernel parameters."""
    arguments = {"machine_id": "0" * 32, "operators_authority": "key\n"}
    assert KUBERNETES_MARKER not in factory_texts(MACHINE, **arguments)
    assert KUBERNETES_MARKER in factory_texts(replace(MACHINE, wants_kubernetes=True), **arguments)
