"""Machines: their disks, and switching their power on and off.

A machine is `systemd-nspawn --boot` on an overlay of the shared base, in a network namespace and control groups of its
own, both made anew at every power-on. The process is started through a shell that first writes its own id and start
time down, so that no run can die between starting a machine and knowing it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from inventories.services import SSH_PORT
from scripts.errors import ScriptError
from scripts.rehearsal.authority_ssh import SshAuthority, open_authority
from scripts.rehearsal.base_image import BaseImage, open_base
from scripts.rehearsal.cabling import (
    add_namespace,
    lay_ground,
    plug_in,
    remove_namespace,
    set_kernel_parameters,
    unplug,
)
from scripts.rehearsal.cgroups import end_processes_of, make_machine_groups, remove_groups
from scripts.rehearsal.containerd_store import begin_store
from scripts.rehearsal.enrolment import WIREGUARD_PUBLIC_KEY, certify, enrol
from scripts.rehearsal.fabric import Bind, Fabric, Machine
from scripts.rehearsal.identity import OPERATIONS, part_name, rehearsal_name
from scripts.rehearsal.kernel_limits import raise_inotify_instances
from scripts.rehearsal.mounts import is_mounted, mount_overlay, unmount_disk
from scripts.rehearsal.namespace import inside_network_namespace
from scripts.rehearsal.processes import (
    Process,
    children,
    end_process,
    innermost_pid,
    is_running,
    send_signal,
    wait_until_ended,
)
from scripts.rehearsal.programs import run_program
from scripts.rehearsal.records import changing, forget_machine, machine_record, running_process, write_owner

BOOT_SECONDS = 90.0
SHUTDOWN_SECONDS = 20.0
KILL_SECONDS = 20.0
POLL_SECONDS = 0.1
CONNECT_SECONDS = 1.0
# systemd(1): SIGRTMIN+4 to its init powers a machine off.
POWER_OFF_SIGNAL = signal.SIGRTMIN + 4
# FRR, nftables, WireGuard and Kubernetes need no more than these beyond nspawn's own set. CAP_SYS_TIME is left out on
# purpose: the clock is the whole kernel's, and a machine's time daemon would set it.
CAPABILITIES = ("CAP_NET_ADMIN", "CAP_SYSLOG")
# Keyrings and BPF: runc joins a session keyring and loads device filters.
SYSTEM_CALLS = "@keyring bpf"
# Directories that Kubernetes mounts overlays in, or syncs to disk: an overlay on an overlay is refused by the kernel.
CONTAINERD_DIRECTORY = "/var/lib/containerd"
KUBERNETES_DIRECTORIES = (CONTAINERD_DIRECTORY, "/var/lib/kubelet", "/var/lib/etcd")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAUNCH = """
lock=$1 record=$2; shift 2
read -r line </proc/$$/stat
printf '%s\\n' "$line" >"$record"
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done
shift
eval "exec $lock>&-"
exec "$@"
"""


def machine_directory(fabric: Fabric, name: str) -> Path:
    """Where a machine's disk and console log are."""
    return fabric.state_directory / "machines" / name


def init_of(process: Process) -> Process | None:
    """Find the machine's init: the child of its nspawn that is process 1 in its own namespace."""
    for pid in children(process):
        if innermost_pid(pid) == 1:
            stat = Path(f"/proc/{pid}/stat")
            try:
                fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                return None
            return Process(pid=pid, started_ticks=int(fields[19]))
    return None


def is_on(fabric: Fabric, name: str) -> bool:
    """Whether a machine has power."""
    return running_process(fabric.checkout_id, fabric.machine(name).name) is not None


def nspawn_command(
    fabric: Fabric, machine: Machine, *, root: Path, real_directories: Sequence[Bind], devices: Sequence[str]
) -> list[str]:
    """Return the command that boots a machine."""
    name = part_name(fabric.checkout_id, machine.name)
    command = [
        "systemd-nspawn", "--quiet", f"--directory={root}", f"--machine={name}", f"--hostname={machine.name}",
        f"--network-namespace-path=/run/netns/{name}", "--register=no", "--keep-unit", "--boot", "--resolv-conf=off",
        "--timezone=off", "--link-journal=no", f"--capability={','.join(CAPABILITIES)}",
        f"--system-call-filter={SYSTEM_CALLS}",
    ]  # fmt: skip
    command += [f"--bind={device}" for device in devices]
    for bind in (*real_directories, *machine.binds):
        command.append(f"--bind{'-ro' if bind.read_only else ''}={bind.source}:{bind.target}")
    return command


def _seal(machine: Machine, base: BaseImage, authority: SshAuthority) -> str:
    """Return what is written beside a disk when it is enrolled: whose it is, the base it lies on, whom it trusts."""
    layers = [str(layer) for layer in base.layers]
    authority_key = authority.user_public_key.read_text().strip()
    place = _place(machine)
    return json.dumps({"place": place, "layers": layers, "fingerprint": base.fingerprint, "authority": authority_key})


def _place(machine: Machine) -> list[str]:
    """Return where a machine is in the address plan; what it wrote down at one place shuts it off at another."""
    return [str(machine.management4), str(machine.management6), *machine.ssh_principals]


def is_at_its_place(fabric: Fabric, machine: Machine) -> bool:
    """Whether a machine's disk was enrolled for the addresses that the declaration gives it now."""
    try:
        seal = json.loads((machine_directory(fabric, machine.name) / "enrolled").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(seal.get("place") == _place(machine))


def base_of_disk(directory: Path) -> BaseImage | None:
    """Return the base that a machine's disk lies on; None when it has no disk, or its base is not there any more."""
    try:
        seal = json.loads((directory / "enrolled").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # never enrolled, or cut short while the seal was written: it will be enrolled anew
    layers = tuple(Path(layer) for layer in seal["layers"])
    return BaseImage(layers=layers, fingerprint=seal["fingerprint"]) if all(map(Path.is_dir, layers)) else None


def _prepare_disk(fabric: Fabric, machine: Machine, *, base: BaseImage, authority: SshAuthority) -> Path:
    """Mount a machine's disk, giving it an identity if it is new or was made for another place, base or authority.

    What a machine wrote over one base makes no sense over another. Returns the root.
    """
    directory = machine_directory(fabric, machine.name)
    root = directory / "root"
    enrolled = directory / "enrolled"
    seal = _seal(machine, base, authority)
    if not enrolled.exists() or enrolled.read_text() != seal:
        if directory.exists():
            shutil.rmtree(directory)
        for part in ("upper", "work", "root"):
            (directory / part).mkdir(parents=True)
    mount_overlay(
        name=part_name(fabric.checkout_id, machine.name),
        layers=base.layers,
        upper=directory / "upper",
        work=directory / "work",
        target=root,
    )
    if not enrolled.exists():
        enrol(machine, root=root, authority=authority)
        enrolled.write_text(seal)
    certify(machine, root=root, authority=authority)
    return root


def start_machine(
    fabric: Fabric,
    machine: Machine,
    *,
    base: BaseImage,
    authority: SshAuthority,
    lock: int,
    container_store: Path | None = None,
) -> Process:
    """Switch a machine on that is off; the caller holds the rehearsal's lock, whose descriptor is *lock*.

    Whatever an earlier life left (processes, namespace, ports, groups, mounts) is cleared first. The containerd of a
    new cluster host begins with the images of *container_store*.
    """
    clear_machine(fabric, machine)
    root = _prepare_disk(fabric, machine, base=base, authority=authority)
    directory = machine_directory(fabric, machine.name)
    name = part_name(fabric.checkout_id, machine.name)
    add_namespace(name)
    set_kernel_parameters(name, {"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"})
    plug_in(fabric, machine, keep_plugged=False)
    groups = make_machine_groups(fabric.checkout_id, machine.name, memory_limit_bytes=machine.memory_limit_bytes)
    binds = []
    for target in KUBERNETES_DIRECTORIES if machine.wants_kubernetes else ():
        source = directory / "real" / Path(target).name
        source.parent.mkdir(exist_ok=True)
        if target == CONTAINERD_DIRECTORY and container_store is not None and not source.exists():
            begin_store(source, template=container_store)
        source.mkdir(mode=0o700, exist_ok=True)
        binds.append(Bind(source=source, target=Path(target), read_only=False))
    devices = ["/dev/net/tun", *(["/dev/kmsg"] if machine.wants_kubernetes else [])]
    command = nspawn_command(fabric, machine, root=root, real_directories=binds, devices=devices)
    record = machine_record(fabric.checkout_id, machine.name)
    with (directory / "console.log").open("w") as console:
        launched = subprocess.Popen(
            ["/bin/bash", "-c", LAUNCH, "bash", str(lock), str(record), *map(str, groups), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a closed terminal is no power cut
            pass_fds=(lock,),  # until it is systemd-nspawn, the machine counts as being changed
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
        )
    deadline = time.monotonic() + KILL_SECONDS
    while (process := running_process(fabric.checkout_id, machine.name)) is None:
        if launched.poll() is not None or time.monotonic() > deadline:
            raise _did_not_boot(fabric, machine, "systemd-nspawn did not start")
        time.sleep(POLL_SECONDS)
    return process


def _did_not_boot(fabric: Fabric, machine: Machine, what: str) -> ScriptError:
    log = machine_directory(fabric, machine.name) / "console.log"
    last = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else "(no console log)"
    return ScriptError(
        "CGC-704",
        f"{what}; its console ended with:\n{last}",
        where=machine.name,
        remedy=f"read {log}, then run `cgc rehearse up` again",
    )


def answers_ssh(fabric: Fabric, machine: Machine, *, timeout_seconds: float = CONNECT_SECONDS) -> bool:
    """Whether a machine's sshd greets whoever comes over the management network (RFC 4253, 4.2)."""
    with inside_network_namespace(part_name(fabric.checkout_id, OPERATIONS)):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with caller:
        caller.settimeout(timeout_seconds)
        try:
            caller.connect((str(machine.management4.ip), SSH_PORT))
            return caller.recv(4) == b"SSH-"
        except OSError:
            return False  # no answer is the answer


def wait_for_ssh(fabric: Fabric, machine: Machine, process: Process, *, timeout_seconds: float = BOOT_SECONDS) -> None:
    """Wait until a machine's sshd answers; CGC-704 if it ends or stays silent."""
    deadline = time.monotonic() + timeout_seconds
    while not answers_ssh(fabric, machine):
        if not is_running(process):
            raise _did_not_boot(fabric, machine, "the machine went off while booting")
        if time.monotonic() > deadline:
            raise _did_not_boot(fabric, machine, f"sshd did not answer within {timeout_seconds:g} s")
        time.sleep(POLL_SECONDS)


def clear_machine(fabric: Fabric, machine: Machine) -> None:
    """Remove all that a machine without power still has in the kernel; its disk stays."""
    end_processes_of(fabric.checkout_id, machine.name)
    unplug(fabric, machine)
    remove_namespace(part_name(fabric.checkout_id, machine.name))
    unmount_disk(machine_directory(fabric, machine.name) / "root")
    remove_groups(fabric.checkout_id, machine.name)
    forget_machine(fabric.checkout_id, machine.name)


def power_on(fabric: Fabric, name: str) -> bool:
    """Switch a machine on and wait until its sshd answers; whether it was off."""
    machine = fabric.machine(name)
    with changing(fabric.checkout_id) as lock:
        process = running_process(fabric.checkout_id, name)
        was_off = process is None
        if process is None:
            prepare_ground(fabric)
            base = base_of_disk(machine_directory(fabric, name)) or open_base(
                fabric.cache_directory, report=lambda _: None
            )
            process = start_machine(fabric, machine, base=base, authority=authority_of(fabric), lock=lock)
    wait_for_ssh(fabric, machine, process)
    return was_off


def authority_of(fabric: Fabric) -> SshAuthority:
    """Return the rehearsal's SSH authority, made on first use."""
    return open_authority(fabric.state_directory / "authority" / "ssh", name=rehearsal_name(fabric.checkout_id))


def prepare_ground(fabric: Fabric) -> bool:
    """All that machines stand on: records, kernel limits, namespaces, bridges; whether something was missing."""
    write_owner(fabric.checkout_id, checkout_path=fabric.checkout, state_directory=fabric.state_directory)
    raise_inotify_instances()
    return lay_ground(fabric)


def power_off(fabric: Fabric, name: str, *, abruptly: bool = False) -> bool:
    """Switch a machine off; whether it was on. Its disk stays as it is.

    *abruptly* pulls the plug; otherwise its init is asked to stop its services, and the plug is pulled if that takes
    longer than SHUTDOWN_SECONDS.
    """
    machine = fabric.machine(name)
    with changing(fabric.checkout_id):
        process = running_process(fabric.checkout_id, name)
        if process is not None:
            stop_process(process, abruptly=abruptly)
        clear_machine(fabric, machine)
    return process is not None


def stop_process(process: Process, *, abruptly: bool) -> None:
    """End the process that carries a machine, and with it everything in the machine."""
    init = init_of(process)
    if init is not None and not abruptly and send_signal(init, POWER_OFF_SIGNAL):
        wait_until_ended(process, timeout_seconds=SHUTDOWN_SECONDS)
    if init is not None:
        send_signal(init, signal.SIGKILL)  # ends every process of its namespace; nspawn then ends by itself
        if wait_until_ended(process, timeout_seconds=KILL_SECONDS):
            return
    end_process(process, timeout_seconds=KILL_SECONDS)


def run_inside(
    fabric: Fabric, name: str, argv: Sequence[str], *, timeout_seconds: float = 60, stdin: str | Path = ""
) -> str:
    """Run a program inside a machine, in all its namespaces, and return its standard output.

    *stdin* is a text, or the path of a file of *this* machine.

    CGC-708 when the machine is off; CGC-702 when the program fails or does not end in time (it is then killed).
    """
    machine = fabric.machine(name)
    process = running_process(fabric.checkout_id, machine.name)
    init = init_of(process) if process is not None else None
    if init is None:
        raise ScriptError(
            "CGC-708", "the machine is off", where=machine.name, remedy=f"switch it on: `cgc rehearse mend {name}`"
        )
    return run_program(
        [
            "nsenter", f"--target={init.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
            "env", "-i", f"PATH={SEARCH_PATH}", "HOME=/root", "LANG=C.UTF-8",
            "timeout", "--kill-after=2", str(timeout_seconds), *argv,
        ],
        timeout_seconds=timeout_seconds + 5,
        stdin=stdin,
    )  # fmt: skip


def read_wireguard_public_keys(fabric: Fabric) -> dict[str, str]:
    """Each machine's WireGuard public key, as it wrote it down at its first boot; the private keys are never read."""
    keys = {}
    for machine in fabric.machines:
        path = machine_directory(fabric, machine.name) / "upper" / WIREGUARD_PUBLIC_KEY
        if not path.exists():
            raise ScriptError(
                "CGC-704",
                "the machine has not made its WireGuard key",
                where=machine.name,
                remedy="run `cgc rehearse up`, which boots it",
            )
        keys[machine.name] = path.read_text().strip()
    return keys


def is_disk_mounted(fabric: Fabric, name: str) -> bool:
    """Whether a machine's disk is mounted."""
    return is_mounted(machine_directory(fabric, name) / "root")
