"""A fabric that cannot be built is refused before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal.fabric import Cable, Fabric, Machine


def machine(name: str, number: int) -> Machine:
    """Make a machine with management addresses of its own."""
    return Machine(
        name=name,
        management4=IPv4Interface(f"10.9.0.{number}/24"),
        management6=IPv6Interface(f"fd09::{number}/64"),
    )


@pytest.fixture
def fabric() -> Fabric:
    """Two routers and the cable between them."""
    return Fabric(
        checkout=Path("/checkout"),
        checkout_id="0a1b2c",
        state_directory=Path("/checkout/.rehearsal"),
        cache_directory=Path("/cache"),
        machines=(machine("north", 10), machine("south", 11)),
        cables=(Cable(name="north--south", ends=(("north", "south"), ("south", "north"))),),
        management_gateway4=IPv4Interface("10.9.0.1/24"),
        management_gateway6=IPv6Interface("fd09::1/64"),
    )


def test_names_lead_to_machines_and_cables(fabric: Fabric) -> None:
    """A machine knows its cables, and both are found by name."""
    assert fabric.machine("north").name == "north"
    assert fabric.cables_of("south") == (fabric.cable("north--south"),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkout_id": "not-hexadecimal"}, "hexadecimal"),
        ({"machines": (machine("north", 10), machine("north", 11))}, "2 machines are called north"),
        ({"machines": (machine("north", 10), machine("south", 10))}, "10.9.0.10 is used 2 times"),
        ({"machines": (machine("north", 1), machine("south", 11))}, "10.9.0.1 is used 2 times"),
        ({"machines": (machine("north", 10), machine("south", 11), machine("ops", 12))}, "'ops' cannot be"),
        ({"machines": (machine("north", 10), machine("south", 11), machine("-x", 12))}, "'-x' cannot be"),
        ({"machines": (machine("north", 10),)}, "south, which is not a machine"),
        ({"cables": (Cable(name="c", ends=(("north", "sixteen-letters-"), ("south", "x"))),)}, "sixteen-letters-"),
        ({"cables": (Cable(name="c", ends=(("north", "mgmt0"), ("south", "x"))),)}, "'mgmt0' of north"),
        ({"cables": (Cable(name="c", ends=(("north", "a b"), ("south", "x"))),)}, "holds a character"),
        ({"cables": (Cable(name="c", ends=(("north", "x"), ("north", "x"))),)}, "2 cables end in north/x"),
    ],
)
def test_an_impossible_fabric_is_refused(fabric: Fabric, change: dict[str, object], said: str) -> None:
    """Each fault is named: duplicate names and addresses, impossible names, cables that end nowhere."""
    with pytest.raises(ScriptError, match="CGC-707") as refused:
        replace(fabric, **change)  # type: ignore[arg-type]  # the table gives each field its own type
    assert said in refused.value.what


def test_asking_for_an_unknown_name_says_which_are_known(fabric: Fabric) -> None:
    """The remedy lists what one may have meant."""
    with pytest.raises(ScriptError, match="CGC-707") as refused:
        fabric.machine("west")
    assert "north, south" in refused.value.remedy
    with pytest.raises(ScriptError, match="CGC-707"):
        fabric.cable("west--east")
