"""What a machine is given in the factory, before its first boot: a name, an identity, and whom to let in."""

from __future__ import annotations

import uuid
from pathlib import Path

from scripts.rehearsal.authority_ssh import OPERATOR_PRINCIPAL, SIGNING_SECONDS, SshAuthority, sign_host_key
from scripts.rehearsal.fabric import Machine
from scripts.rehearsal.programs import run_program

HOST_KEY = Path("etc/ssh/ssh_host_ed25519_key")
WIREGUARD_PUBLIC_KEY = Path("etc/wireguard/node.pub")
KUBERNETES_MARKER = Path("etc/cgc/carries-kubernetes")
# Enabled where Kubernetes is wanted, as the packages of both do when they are installed on a real host.
KUBERNETES_UNITS = ("/lib/systemd/system/containerd.service", "/etc/systemd/system/kubelet.service")


def factory_texts(machine: Machine, *, machine_id: str, operators_authority: str) -> dict[Path, str]:
    """Return the small files of a machine, by path below its root."""
    texts = {
        Path("etc/hostname"): f"{machine.name}\n",
        Path("etc/machine-id"): f"{machine_id}\n",
        Path("etc/hosts"): (
            "127.0.0.1 localhost\n"
            "::1 localhost ip6-localhost ip6-loopback\n"
            f"{machine.management4.ip} {machine.name}\n"
            f"{machine.management6.ip} {machine.name}\n"
        ),
        Path("etc/ssh/operators_authority.pub"): operators_authority,
        Path("etc/ssh/principals/root"): f"{OPERATOR_PRINCIPAL}\nnode:{machine.name}\n",
    }
    if machine.wants_kubernetes:
        texts[KUBERNETES_MARKER] = ""
    return texts


def host_principals(machine: Machine) -> tuple[str, ...]:
    """Every name under which a machine may prove who it is."""
    return (machine.name, str(machine.management4.ip), str(machine.management6.ip), *machine.ssh_principals)


def enrol(machine: Machine, *, root: Path, authority: SshAuthority) -> None:
    """Write a machine's identity into its root file system. Run again on a half-written one, it finishes the work."""
    texts = factory_texts(
        machine, machine_id=uuid.uuid4().hex, operators_authority=authority.user_public_key.read_text()
    )
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    for unit in KUBERNETES_UNITS if machine.wants_kubernetes else ():
        (wanted / Path(unit).name).unlink(missing_ok=True)
        (wanted / Path(unit).name).symlink_to(unit)
    key = root / HOST_KEY
    key.unlink(missing_ok=True)
    run_program(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", machine.name, "-f", key], timeout_seconds=SIGNING_SECONDS
    )


def certify(machine: Machine, *, root: Path, authority: SshAuthority) -> None:
    """Sign a machine's host key anew, under all its present names."""
    sign_host_key(
        authority, public_key=root / f"{HOST_KEY}.pub", host=machine.name, principals=host_principals(machine)
    )
