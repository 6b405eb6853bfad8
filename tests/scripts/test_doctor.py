"""The doctor: what a machine has, what it lacks, and the command that mends each lack."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import typer

from inventories.errors import ExitCode
from scripts import doctor
from scripts.doctor import Check, Health, Machine, examine, exit_code_of
from scripts.toolchain.programs import PROGRAMS

A_GOOD_MACHINE = Machine(
    system="Debian GNU/Linux 12",
    architecture="x86_64",
    user_id=0,
    has_sudo=False,
    kernel_features=frozenset({"veth", "bridge", "nftables", "tun", "vrf", "wireguard"}),
    filesystems=frozenset({"overlay", "ext4"}),
    tun_device=True,
    cgroup_hierarchy="version 2",
    inotify_instances=8192,
    free_disk_bytes=50 * 10**9,
    cache="/root/.cache/cgc",
    available_memory_bytes=16 * 10**9,
    debian_wanted=("mmdebstrap", "umoci"),
    debian_installed=frozenset({"mmdebstrap", "umoci"}),
    programs={program.name: f"{program.version} (built)" for program in PROGRAMS},
    kubectl_version="1.36.4",
    go_version="1.26.8",
    python_version=(3, 11),
    python_wanted={"rich": "15.0.0"},
    python_installed={"rich": "15.0.0", "extra": "1"},
    has_root_file_system=True,
)


def named(machine: Machine, name: str) -> Check:
    """Return the one check of that name."""
    (check,) = [check for check in examine(machine) if check.name == name]
    return check


def test_a_machine_with_everything_is_well() -> None:
    """Nothing to mend, exit code 0, and no remedy is offered for what is well."""
    checks = examine(A_GOOD_MACHINE)
    assert {check.health for check in checks} == {Health.GOOD}
    assert {check.remedy for check in checks} == {""}
    assert exit_code_of(checks) is ExitCode.AS_DECLARED


@pytest.mark.parametrize(
    ("name", "lack", "remedy"),
    [
        ("system", {"architecture": "riscv64"}, "x86-64"),
        ("root", {"user_id": 1000}, "sudo"),
        ("kernel: veth", {"kernel_features": frozenset({"bridge", "nftables", "tun"})}, "modprobe veth"),
        ("kernel: nftables", {"kernel_features": frozenset({"bridge", "veth", "tun"})}, "modprobe nftables"),
        ("kernel: tun", {"tun_device": False}, "mknod /dev/net/tun"),
        ("kernel: overlay", {"filesystems": frozenset({"ext4"})}, "modprobe overlay"),
        ("cgroups", {"cgroup_hierarchy": None}, "mount -t cgroup2"),
        ("disk", {"free_disk_bytes": 7 * 10**9}, "CGC_CACHE"),
        ("memory", {"available_memory_bytes": 7 * 10**9}, "larger machine"),
        ("Debian packages", {"debian_installed": frozenset({"umoci"})}, "make set-up"),
        ("program: kubectl", {"kubectl_version": None}, "make set-up"),
        ("Python", {"python_installed": {"rich": "14.0.0"}}, "make set-up"),
        ("Python", {"python_version": (3, 12)}, "PYTHON=python3.11"),
    ],
)
def test_each_lack_is_named_with_what_mends_it(name: str, lack: dict[str, object], remedy: str) -> None:
    """One thing missing: its check says missing, tells the remedy, and the exit code is 1."""
    machine = replace(A_GOOD_MACHINE, **lack)  # type: ignore[arg-type] # each value has its field's type
    check = named(machine, name)
    assert check.health is Health.MISSING
    assert remedy in check.remedy
    assert exit_code_of(examine(machine)) is ExitCode.FAILED


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("kernel: bridge", {"kernel_features": None}),
        ("kernel: overlay", {"filesystems": None}),
        ("fs.inotify.max_user_instances", {"inotify_instances": None}),
        ("memory", {"available_memory_bytes": None}),
        ("Debian packages", {"debian_installed": None}),
    ],
)
def test_what_could_not_be_seen_is_never_shown_as_well(name: str, unseen: dict[str, object]) -> None:
    """Silence is unknown, exit code 3."""
    machine = replace(A_GOOD_MACHINE, **unseen)  # type: ignore[arg-type] # each value has its field's type
    assert named(machine, name).health is Health.UNKNOWN
    assert exit_code_of(examine(machine)) is ExitCode.UNKNOWN


def test_a_lack_outweighs_what_is_unknown() -> None:
    """The smallest non-zero exit code that applies wins."""
    machine = replace(A_GOOD_MACHINE, inotify_instances=None, cgroup_hierarchy=None)
    assert exit_code_of(examine(machine)) is ExitCode.FAILED


def test_a_missing_program_is_named_and_needs_room_to_be_built() -> None:
    """The program's own check says it, and the disk wanted grows by what a build takes."""
    machine = replace(A_GOOD_MACHINE, programs={**A_GOOD_MACHINE.programs, "kubelet": None}, free_disk_bytes=10**10)
    assert named(machine, "program: kubelet").found == "not installed"
    assert named(machine, "disk").health is Health.MISSING
    assert "20 GB wanted" in named(machine, "disk").found


def test_a_kernel_without_wireguard_is_told_which_way_is_used() -> None:
    """The optional features are notes, not lacks: the rehearsal has another way."""
    machine = replace(A_GOOD_MACHINE, kernel_features=frozenset({"veth", "bridge", "nftables", "tun"}))
    assert named(machine, "kernel: wireguard").health is Health.NOTE
    assert "wireguard-go" in named(machine, "kernel: wireguard").found
    assert named(machine, "kernel: vrf").health is Health.NOTE
    assert exit_code_of(examine(machine)) is ExitCode.AS_DECLARED


def test_few_inotify_instances_are_raised_by_the_rehearsal() -> None:
    """128, the kernel's default, is a note that says who raises it and how to do it by hand."""
    check = named(replace(A_GOOD_MACHINE, inotify_instances=128), "fs.inotify.max_user_instances")
    assert check.health is Health.NOTE
    assert "raises it to 8192 and puts it back" in check.found
    assert check.remedy == "sysctl -w fs.inotify.max_user_instances=8192"


def test_sudo_will_do_where_the_user_is_not_root() -> None:
    """`make` uses sudo by itself."""
    assert named(replace(A_GOOD_MACHINE, user_id=1000, has_sudo=True), "root").health is Health.GOOD


def test_pins_are_read_as_the_index_names_them() -> None:
    """Names are compared as PEP 503 normalises them; hashes and markers are not versions."""
    text = 'Ruamel.yaml==0.19.1 ; python_version < "3.12" \\\n    --hash=sha256:00\nast_serialize==0.13.1\n'
    assert doctor.pinned_versions(text) == {"ruamel-yaml": "0.19.1", "ast-serialize": "0.13.1"}


def test_memory_is_what_the_kernel_calls_available() -> None:
    """proc(5): kB in /proc/meminfo are KiB; an old kernel without the line leaves it unknown."""
    assert doctor.available_memory_bytes("MemTotal: 9 kB\nMemAvailable:    2048 kB\n") == 2 * 1024 * 1024
    assert doctor.available_memory_bytes("MemTotal: 9 kB\n") is None


def test_looking_changes_nothing_and_ends() -> None:
    """A look at this very machine fills every fact, and the network devices are the same afterwards."""
    before = sorted(os.listdir("/sys/class/net"))  # noqa: PTH208 - names alone
    machine = doctor.look(os.environ)
    assert sorted(os.listdir("/sys/class/net")) == before  # noqa: PTH208 - names alone
    assert machine.free_disk_bytes > 0
    assert set(machine.programs) == {program.name for program in PROGRAMS}


def test_the_table_and_the_json_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every check of the table is in the JSON, with its health and remedy; the exit code is the same."""
    machine = replace(A_GOOD_MACHINE, cgroup_hierarchy=None)
    monkeypatch.setattr(doctor, "look", lambda _environ: machine)
    for as_json in (True, False):
        with pytest.raises(typer.Exit) as caught:
            doctor.doctor(as_json=as_json)
        assert caught.value.exit_code == ExitCode.FAILED
        shown = capsys.readouterr().out
        if as_json:
            checks = json.loads(shown)["checks"]
        else:
            assert all(check["name"] in shown and check["found"] in shown for check in checks)
    assert {check["name"]: check["health"] for check in checks}["cgroups"] == "missing"
