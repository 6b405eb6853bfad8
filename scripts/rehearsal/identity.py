"""Names of everything a rehearsal makes on the machine: each carries the short id of its checkout.

Two checkouts on one machine therefore never meet, and what a dead one left can be told from what a live one uses.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

# Interface names of Linux hold 15 characters (IFNAMSIZ 16 with the closing zero, linux/if.h).
LONGEST_INTERFACE_NAME = 15
CHECKOUT_ID_LENGTH = 6
PREFIX = "cgc"
OPERATIONS = "ops"
FIBRE = "fibre"
# What is recorded about each rehearsal of this machine; it lives on a tmpfs, as what it describes does.
RUN_DIRECTORY = Path("/run/cgc")

MANAGEMENT_BRIDGE = "mgmt"
# First letters of the generated interface names, which tell what each is for.
CABLE_PREFIX = "c"
PORT_PREFIX = "p"
MANAGEMENT_PORT_PREFIX = "m"

_GENERATED = re.compile(rf"{PREFIX}-(?P<checkout>[0-9a-f]{{{CHECKOUT_ID_LENGTH}}})(?:-(?P<part>.+))?")


def checkout_id(checkout: Path) -> str:
    """Six hexadecimal digits that stand for the checkout at this absolute path."""
    return hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:CHECKOUT_ID_LENGTH]


def rehearsal_name(checkout: str) -> str:
    """Return the name of the rehearsal as a whole, as its cgroups carry it: `cgc-<id>`."""
    return f"{PREFIX}-{checkout}"


def part_name(checkout: str, part: str) -> str:
    """Return the name of a machine, or of the `ops` or `fibre` namespace: `cgc-<id>-<part>`."""
    return f"{PREFIX}-{checkout}-{part}"


def checkout_of_name(name: str) -> str | None:
    """Return the checkout id inside a generated name; None for a name that is not ours."""
    found = _GENERATED.fullmatch(name)
    return found["checkout"] if found else None


def _digest(name: str) -> str:
    """Ten hexadecimal digits that stand for a name too long for an interface."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def port_name(cable: str, end: int) -> str:
    """Return the name, in the fibre namespace, of one end (0 or 1) of a cable."""
    return f"{PORT_PREFIX}{_digest(cable)}{'ab'[end]}"


def cable_bridge_name(cable: str) -> str:
    """Return the name, in the fibre namespace, of the bridge in the middle of a cable; the same in every run."""
    return CABLE_PREFIX + _digest(cable)


def management_port_name(machine: str) -> str:
    """Return the name, in the operations namespace, of the management port of a machine."""
    return MANAGEMENT_PORT_PREFIX + _digest(machine)


def hardware_address(machine: str, interface: str) -> str:
    """Choose a locally administered unicast MAC address (IEEE 802: second-lowest bit of the first octet set).

    It is the same after every power cycle, so that link-local addresses are too.
    """
    digest = hashlib.sha256(f"{machine}/{interface}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest[:5]))
