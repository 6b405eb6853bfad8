"""Ports are read from iproute2's JSON."""

from __future__ import annotations

from scripts.rehearsal.cabling import Port, parse_ports


def test_administrative_state_and_carrier_are_told_apart() -> None:
    """A port can be set up and still be dark: that is what a cut looks like from its machine."""
    text = (
        '[{},{"ifname":"lit","flags":["BROADCAST","UP","LOWER_UP"]},'
        '{"ifname":"dark","flags":["NO-CARRIER","BROADCAST","UP"]},{"ifname":"down","flags":["BROADCAST"]}]'
    )
    assert parse_ports(text) == {
        "lit": Port(name="lit", is_up=True, has_carrier=True),
        "dark": Port(name="dark", is_up=True, has_carrier=False),
        "down": Port(name="down", is_up=False, has_carrier=False),
    }


def test_an_empty_namespace_has_no_ports() -> None:
    """Iproute2 prints nothing at all for it."""
    assert parse_ports("") == {}
