"""The daemons' own parsers run from the hosts' root file system, without being installed on the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.toolchain.cache import cache_root
from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.lab_programs import command_inside, lab_command


def test_a_program_is_run_by_its_own_loader_with_its_own_libraries(tmp_path: Path) -> None:
    """Nothing of the machine's own libraries is named, and programs of /usr/sbin are found too."""
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/unbound-checkconf").touch()
    command = command_inside(tmp_path, "unbound-checkconf", architecture="x86_64")
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    assert command == [
        str(libraries / "ld-linux-x86-64.so.2"),
        "--library-path",
        f"{libraries}:{libraries}/frr",
        str(tmp_path / "usr/sbin/unbound-checkconf"),
    ]


def test_what_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    """Without a root file system: how to make it; without the program: where its package is declared."""
    with pytest.raises(ToolchainError, match="cgc rehearse up"):
        lab_command("promtool", tmp_path)
    with pytest.raises(ToolchainError, match=r"base_image\.py"):
        command_inside(tmp_path, "promtool", architecture="x86_64")


@pytest.mark.slow
def test_the_parsers_tell_good_from_bad(tmp_path: Path) -> None:
    """Promtool, amtool and vtysh of the real root file system accept a right file and refuse a wrong one."""
    cache = cache_root(os.environ)
    try:
        lab_command("promtool", cache)
    except ToolchainError as err:
        pytest.skip(str(err))
    rules = "groups: [{name: g, rules: [{record: 'a:b', expr: up}]}]\n"
    router = "router bgp 65000\n neighbor 192.0.2.1 remote-as 65001\n"
    receivers = "route: {receiver: noc}\nreceivers: [{name: noc}]\n"
    for program, arguments, right, wrong in (
        ("promtool", ["check", "rules"], rules, rules.replace("expr: up", "expr: 'up +'")),
        ("amtool", ["check-config"], receivers, receivers.replace("receiver: noc", "receiver: nobody")),
        ("vtysh", ["--dryrun", "--inputfile"], router, router.replace("router bgp", "router bgpx")),
    ):
        for text, accepted in ((right, True), (wrong, False)):
            path = tmp_path / "file"
            path.write_text(text)
            command = [*lab_command(program, cache), *arguments, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) is accepted, (program, done.stdout, done.stderr)
