"""How a machine is booted, and which base its disk lies on."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from scripts.rehearsal import machines
from scripts.rehearsal.authority_ssh import open_authority
from scripts.rehearsal.base_image import BaseImage
from scripts.rehearsal.fabric import Bind, Fabric, Machine

MACHINE = Machine(
    name="cgc-north-1",
    management4=IPv4Interface("10.9.0.10/24"),
    management6=IPv6Interface("fd09::a/64"),
    binds=(Bind(source=Path("/cache/kubelet"), target=Path("/usr/bin/kubelet")),),
)
FABRIC = Fabric(
    checkout=Path("/checkout"),
    checkout_id="0a1b2c",
    state_directory=Path("/checkout/.rehearsal"),
    cache_directory=Path("/cache"),
    machines=(MACHINE,),
    cables=(),
    management_gateway4=IPv4Interface("10.9.0.1/24"),
    management_gateway6=IPv6Interface("fd09::1/64"),
)


def test_no_machine_can_set_the_clock_of_the_kernel() -> None:
    """The clock is shared by all machines and by the real one: a machine's time daemon must not reach it."""
    command = machines.nspawn_command(FABRIC, MACHINE, root=Path("/r"), real_directories=(), devices=())
    assert not any("CAP_SYS_TIME" in word or word == "--capability=all" for word in command)


def test_a_machine_boots_in_its_own_namespace_and_sees_its_binds() -> None:
    """Binds are read-only unless said otherwise; the namespace is the one that carries its ports."""
    command = machines.nspawn_command(
        FABRIC,
        MACHINE,
        root=Path("/r"),
        real_directories=(Bind(source=Path("/real"), target=Path("/var/lib/etcd"), read_only=False),),
        devices=("/dev/net/tun",),
    )
    assert "--network-namespace-path=/run/netns/cgc-0a1b2c-cgc-north-1" in command
    assert "--bind-ro=/cache/kubelet:/usr/bin/kubelet" in command
    assert "--bind=/real:/var/lib/etcd" in command
    assert "--bind=/dev/net/tun" in command


def test_a_disk_remembers_its_base(tmp_path: Path) -> None:
    """Power comes back over the base that the disk was made for, as long as that base is there."""
    layer = tmp_path / "layer"
    layer.mkdir()
    base = BaseImage(layers=(layer,), fingerprint="f")
    authority = open_authority(tmp_path / "ssh", name="test")
    (tmp_path / "enrolled").write_text(machines._seal(MACHINE, base, authority))
    assert machines.base_of_disk(tmp_path) == base
    layer.rmdir()
    assert machines.base_of_disk(tmp_path) is None


def test_a_disk_that_was_made_for_another_place_in_the_address_plan_is_not_used(tmp_path: Path) -> None:
    """What a machine wrote down at its old addresses would shut it off at the new ones."""
    fabric = replace(FABRIC, state_directory=tmp_path)
    directory = machines.machine_directory(fabric, MACHINE.name)
    assert not machines.is_at_its_place(fabric, MACHINE)
    directory.mkdir(parents=True)
    authority = open_authority(tmp_path / "ssh", name="test")
    base = BaseImage(layers=(), fingerprint="f")
    (directory / "enrolled").write_text(machines._seal(MACHINE, base, authority))
    assert machines.is_at_its_place(fabric, MACHINE)
    assert not machines.is_at_its_place(fabric, replace(MACHINE, management4=IPv4Interface("10.9.9.9/16")))
    (directory / "enrolled").write_text("{}")
    assert not machines.is_at_its_place(fabric, MACHINE)


def test_a_seal_cut_short_by_a_crash_means_a_new_disk(tmp_path: Path) -> None:
    """A half-written seal is not trusted."""
    (tmp_path / "enrolled").write_text('{"layers": ["/x"')
    assert machines.base_of_disk(tmp_path) is None
    assert machines.base_of_disk(tmp_path / "nowhere") is None
