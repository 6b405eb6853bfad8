"""Names that a rehearsal gives: they carry the checkout, fit the kernel's limits, and never collide."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scripts.rehearsal import identity


def test_two_checkouts_never_share_a_name(tmp_path: Path) -> None:
    """Two checkouts on one machine have different ids, so that none of their generated names meet."""
    first, second = identity.checkout_id(tmp_path / "a"), identity.checkout_id(tmp_path / "b")
    assert first != second
    assert identity.part_name(first, "ops") != identity.part_name(second, "ops")


def test_a_checkout_keeps_its_id_through_a_symbolic_link(tmp_path: Path) -> None:
    """The id stands for the place, not for the way one came to it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert identity.checkout_id(tmp_path / "link") == identity.checkout_id(tmp_path / "real")


@given(st.text(min_size=1, max_size=200), st.integers(0, 1))
def test_generated_interface_names_fit_the_kernel(name: str, end: int) -> None:
    """However long a cable's or a machine's name is, the interface made for it has at most 15 characters."""
    for generated in (
        identity.port_name(name, end),
        identity.cable_bridge_name(name),
        identity.management_port_name(name),
    ):
        assert len(generated) <= identity.LONGEST_INTERFACE_NAME


@given(st.from_regex(r"[a-z][a-z0-9-]{0,14}", fullmatch=True))
def test_the_checkout_is_read_back_from_a_name(part: str) -> None:
    """What a dead rehearsal left is attributed by its name alone."""
    assert identity.checkout_of_name(identity.part_name("0a1b2c", part)) == "0a1b2c"


def test_foreign_names_are_not_ours() -> None:
    """Namespaces, mounts and groups of others are never taken for a rehearsal's."""
    for name in ("docker", "cgc", "cgc-0a1b2", "cgc-0a1b2g-ops", "x-cgc-0a1b2c-ops", "cgc-images-0a1b2c"):
        assert identity.checkout_of_name(name) is None


@given(st.text(max_size=40), st.text(max_size=15))
def test_hardware_addresses_are_local_and_unicast(machine: str, interface: str) -> None:
    """A made-up MAC address never claims a manufacturer's number, and never is a group's (IEEE 802)."""
    first = int(identity.hardware_address(machine, interface).split(":")[0], 16)
    assert first & 0b11 == 0b10
