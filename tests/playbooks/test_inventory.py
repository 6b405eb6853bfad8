"""Ansible sees the declared nation: its facts from the declaration, its knobs from group_vars, and nothing mixed.

What the fast tests compare is Ansible's own way to fill an inventory: one call a host, a variable and a membership.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader

from inventories import load_nation
from inventories.model import Nation
from playbooks import knobs
from playbooks.compiled_hosts import HostList, load_hosts
from playbooks.hosts import groups_of, hosts_of
from playbooks.plugins.inventory import nation as plugin
from playbooks.plugins.inventory.nation import InventoryModule, fill, knobs_in
from playbooks.running import SshIdentity, run_play
from tests.bench.ansible_peers import script_of

ROOT = Path(__file__).parents[2]
REHEARSAL = ROOT / "inventories" / "rehearsal"
WHOLE_NATION = ROOT / "inventories" / "nation-2021"
SOURCE = str(REHEARSAL / "nation.yaml")


def filled_by_ansible(inventory: Any, hosts: HostList) -> None:
    """Fill an inventory as inventory plugins usually do."""
    for group, positions in hosts.groups.items():
        inventory.add_group(group)
        for position in positions:
            inventory.add_host(hosts.names[position], group)
    for name, variables in zip(hosts.names, hosts.variables, strict=True):
        for variable, value in variables.items():
            inventory.set_variable(name, variable, value)


def seen(inventory: Any) -> dict[str, Any]:
    """Return all that Ansible can see of an inventory, in its order where Ansible keeps one."""
    inventory.reconcile_inventory()
    return {
        "hosts": list(inventory.hosts),
        "variables": {name: host.get_vars() for name, host in inventory.hosts.items()},
        "groups of hosts": {name: {group.name for group in host.groups} for name, host in inventory.hosts.items()},
        "number of groups": {name: len(host.groups) for name, host in inventory.hosts.items()},
        "members": inventory.get_groups_dict(),
        "direct members": {name: [host.name for host in group.hosts] for name, group in inventory.groups.items()},
        "names": {name: group.host_names for name, group in inventory.groups.items()},
        "depths": {name: group.depth for name, group in inventory.groups.items()},
        "parents": {name: {up.name for up in group.parent_groups} for name, group in inventory.groups.items()},
        "children": {name: {down.name for down in group.child_groups} for name, group in inventory.groups.items()},
        "localhost": getattr(inventory.localhost, "name", None),
    }


def empty(inventory: Any) -> None:
    """Leave an inventory as it is."""


def with_others(inventory: Any) -> None:
    """Put into an inventory what another source may have put there: our names, and groups below groups."""
    for group in ("elsewhere", "network", "role_core"):
        inventory.add_group(group)
    inventory.add_child("elsewhere", "role_core")
    inventory.add_host("core-a-hn", "network")
    inventory.add_host("stranger", "role_core")
    inventory.add_host("commune-05440")
    inventory.set_variable("core-a-hn", "rack", "7")
    inventory.set_variable("core-a-hn", "site", "wrong")


@pytest.mark.parametrize("before", [empty, with_others])
def test_the_inventory_is_what_ansible_itself_would_have_made_of_it(before: Callable[[Any], None]) -> None:
    """Hosts, variables, groups, their order and their relations equal those of one call an item."""
    hosts = load_hosts(REHEARSAL)
    inventories = []
    for fills in (fill, filled_by_ansible):
        inventory = InventoryData()
        inventory.current_source = SOURCE
        before(inventory)
        fills(inventory, hosts)
        inventories.append(seen(inventory))
    ours, ansibles = inventories
    assert ours == ansibles
    assert ours["variables"]["core-a-hn"]["inventory_file"] == SOURCE
    assert ours["variables"]["core-a-hn"]["site"] == "hn"


def test_all_is_in_the_order_in_which_a_change_reaches_it(nation: Nation) -> None:
    """`ansible all` begins with one commune and ends with a core."""
    inventory = InventoryData()
    fill(inventory, load_hosts(REHEARSAL))
    inventory.reconcile_inventory()
    assert inventory.get_groups_dict()["all"] == [host.name for host in hosts_of(nation)]


def test_a_host_that_is_called_localhost_is_the_declared_one() -> None:
    """Ansible makes no host of its own beside it."""
    inventory = InventoryData()
    fill(inventory, HostList(names=("localhost",), variables=({"site": "hn"},), groups={"network": (0,)}))
    assert inventory.get_host("127.0.0.1") is inventory.get_host("localhost") is inventory.hosts["localhost"]
    assert inventory.hosts["localhost"].vars["site"] == "hn"


def test_only_a_declarations_own_file_is_a_source(tmp_path: Path) -> None:
    """Other YAML files are left to other plugins, and so is what is not there."""
    for name in ("nation.yaml", "network.yaml", "nation.yml", "my-nation.yaml"):
        (tmp_path / name).write_text("name: x\n")
        assert InventoryModule().verify_file(str(tmp_path / name)) is (name == "nation.yaml")
    assert not InventoryModule().verify_file(str(tmp_path / "nowhere" / "nation.yaml"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], Any]:
    """Return a function that parses a declaration with the knobs of a directory of its own."""
    monkeypatch.setattr(plugin, "KNOBS", tmp_path / "group_vars")
    monkeypatch.setattr(knobs, "PROJECT", tmp_path / "project")

    def parsing(declaration: Path) -> Any:
        inventory = InventoryData()
        source = inventory.current_source = str(declaration / "nation.yaml")
        InventoryModule().parse(inventory, DataLoader(), source)
        inventory.reconcile_inventory()
        return inventory

    return parsing


def test_knobs_reach_their_groups(parsed: Callable[[Path], Any], tmp_path: Path) -> None:
    """A file or a folder of a group sets its variables; a group that this declaration has not is passed over."""
    folder = tmp_path / "group_vars"
    (folder / "network").mkdir(parents=True)
    (folder / "network" / "ssh.yaml").write_text("ansible_port: 2222\nretries: [1, 2]\n")
    (folder / "role_core.yml").write_text("patience: 9\n")
    (folder / "province_99.yaml").write_text("patience: 1\n")
    (folder / "all.json").write_text('{"patience": 3}')
    (folder / "README.md").write_text("region: not a file of variables\n")
    groups = parsed(REHEARSAL).groups
    assert groups["network"].vars == {"ansible_port": 2222, "retries": [1, 2]}
    assert groups["role_core"].vars == {"patience": 9}
    assert groups["all"].vars == {"patience": 3}
    assert "province_99" not in groups


@pytest.mark.parametrize(
    "place",
    [
        "group_vars/all.yaml",
        "group_vars/province_99/x.yml",
        "declaration/host_vars/core-a-hn.yaml",
        "declaration/group_vars/network.json",
        "project/playbooks/group_vars/all",
    ],
)
def test_facts_are_refused_wherever_ansible_looks_for_variables(
    parsed: Callable[[Path], Any], tmp_path: Path, place: str
) -> None:
    """The error names the file and what to do; that the group or host is not in this declaration is no excuse."""
    declaration = shutil.copytree(REHEARSAL, tmp_path / "declaration")
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("patience: 1\nregion: north\n")
    with pytest.raises(AnsibleParserError, match=f"CGC-330 {file}: sets 'region', a fact.*; remove it there"):
        parsed(declaration)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ansible_ssh_host: 192.0.2.1\n", "CGC-330 .* sets 'ansible_host' .by its other name 'ansible_ssh_host'"),
        ("[region]\n", "CGC-331 .*all.yaml: is no mapping; write one knob a line"),
        ("region north\n", "CGC-331"),
    ],
)
def test_what_is_no_knob_is_refused(tmp_path: Path, content: str, said: str) -> None:
    """A fact by another of its names, and a file that sets nothing."""
    (tmp_path / "all.yaml").write_text(content)
    with pytest.raises(AnsibleParserError, match=said):
        knobs_in(DataLoader(), tmp_path)


def test_the_projects_own_knobs_are_sound_and_in_one_place() -> None:
    """No room keeps variables of hosts beside inventories/group_vars/."""
    found = {path.relative_to(ROOT) for room in ("inventories", "playbooks") for path in (ROOT / room).rglob("*_vars")}
    assert found == {Path("inventories/group_vars")}
    assert knobs_in(DataLoader(), knobs.KNOBS)


def test_a_declaration_that_is_refused_leaves_the_inventory_empty(tmp_path: Path) -> None:
    """Every problem is named with its place, and no host is there to be changed by mistake."""
    declaration = shutil.copytree(REHEARSAL, tmp_path / "declaration")
    (declaration / "tiers.yaml").write_text("tears: []\n")
    inventory = InventoryData()
    with pytest.raises(AnsibleParserError, match=r"tiers\.yaml:1: CGC-104(.|\n)*CGC-105"):
        InventoryModule().parse(inventory, DataLoader(), str(declaration / "nation.yaml"))
    assert inventory.hosts == {}


def ansible(program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands as a user does, in the checkout."""
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_ansible_sees_the_declared_nation(nation: Nation) -> None:
    """The plain command, with the project's own configuration, lists every node at its management address."""
    variables = json.loads(ansible("ansible-inventory", "--list").stdout)["_meta"]["hostvars"]
    assert {name: facts["ansible_host"]["__ansible_unsafe"] for name, facts in variables.items()} == {
        node.name: str(node.management4) for node in nation.nodes
    }


@pytest.mark.slow
def test_the_projects_knobs_hold_for_every_declaration(tmp_path: Path) -> None:
    """Also for one that lies elsewhere."""
    elsewhere = shutil.copytree(REHEARSAL, tmp_path / "elsewhere")
    for declaration in (REHEARSAL, elsewhere):
        shown = ansible("ansible-inventory", "-i", declaration / "nation.yaml", "--host", "cgc-north-1")
        assert json.loads(shown.stdout)["kubernetes_ready_seconds"] == 120


@pytest.mark.slow
def test_a_fact_in_group_vars_stops_the_command(tmp_path: Path) -> None:
    """Nothing is listed, and the error names file and remedy."""
    declaration = shutil.copytree(REHEARSAL, tmp_path / "declaration")
    (declaration / "group_vars").mkdir()
    (declaration / "group_vars" / "network.yaml").write_text("as_number: 1\n")
    refused = ansible("ansible", "all", "-i", declaration / "nation.yaml", "--list-hosts")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert f"CGC-330 {declaration}/group_vars/network.yaml: sets 'as_number'" in refused.stderr


@pytest.mark.slow
def test_groups_of_ones_own_come_from_a_second_source(tmp_path: Path) -> None:
    """Ansible's constructed plugin composes variables and groups from the nation's facts; strict, as it should be."""
    constructed = tmp_path / "constructed.yaml"
    constructed.write_text(
        "plugin: constructed\nstrict: true\n"
        "compose: {described: site_name ~ ' / ' ~ region}\n"
        "groups: {pilot: node_role == 'commune' and province == '92'}\n"
        "keyed_groups: [{key: home, prefix: home}]\n"
    )
    listed = json.loads(
        ansible("ansible-inventory", "-i", REHEARSAL / "nation.yaml", "-i", constructed, "--list", "--export").stdout
    )
    assert listed["pilot"]["hosts"] == ["commune-31117", "commune-31120"]
    assert "core-a-hcm" in listed["home_hcm"]["hosts"]
    described = listed["_meta"]["hostvars"]["core-a-hn"]["described"]
    assert described == {"__ansible_unsafe": "Trung tâm vùng Hà Nội / north"}
    constructed.write_text("plugin: constructed\nstrict: true\ngroups: {pilot: provinz == '92'}\n")
    assert ansible("ansible-inventory", "-i", SOURCE, "-i", constructed, "--list").returncode != 0


@pytest.mark.slow
def test_data_from_the_declaration_is_never_a_template(tmp_path: Path) -> None:
    """A name that looks like Jinja is a name."""
    declaration = shutil.copytree(REHEARSAL, tmp_path / "declaration")
    centres = declaration / "centres.yaml"
    centres.write_text(centres.read_text().replace("Trung tâm vùng Hà Nội", "{{ 6 * 7 }}"))
    shown = ansible(
        "ansible", "core-a-hn", "-i", declaration / "nation.yaml", "-c", "local", "-m", "debug", "-a", "var=site_name"
    )
    assert "{{ 6 * 7 }}" in shown.stdout
    assert "42" not in shown.stdout


@pytest.mark.slow
def test_a_run_of_a_play_sees_facts_and_knobs(tmp_path: Path) -> None:
    """ansible-runner gets the declaration as its inventory, also where the declaration's path is a relative one."""
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: role_cluster\n  gather_facts: false\n  tasks:\n    - ansible.builtin.set_stats:\n        data: "
        '{site: "{{ site }}", seconds: "{{ kubernetes_ready_seconds }}"}\n        per_host: true\n'
    )
    relative = load_nation(Path(os.path.relpath(REHEARSAL)))
    identity = SshIdentity(private_key=tmp_path / "k", certificate=tmp_path / "c", known_hosts=tmp_path / "h")
    result = run_play(
        play, nation=relative, identity=identity, directory=tmp_path / "r", limit=["cgc-north-1", "egc-demo-1"]
    )
    assert result.is_successful
    assert {host.host: dict(host.values) for host in result.hosts} == {
        "cgc-north-1": {"site": "hn", "seconds": 120},
        "egc-demo-1": {"site": "gateway-hn", "seconds": 120},
    }


@pytest.mark.slow
def test_the_whole_nation_is_what_a_script_would_have_told(tmp_path: Path) -> None:
    """Hosts, groups with their members in order, and the variables of 200 hosts equal those of an executable inventory.

    Asked twice: the second answer comes from the compiled form.
    """
    whole = load_nation(WHOLE_NATION)
    hosts = hosts_of(whole)
    script = script_of(hosts, groups_of(whole, hosts), tmp_path)
    sample = random.Random(942).sample([host.name for host in hosts], 200)  # noqa: S311 - a sample, not a secret

    def told(source: Path, enabled: str) -> Mapping[str, Any]:
        asked = subprocess.run(
            [sys.executable, "-m", "tests.bench.ansible_view", source, *sample],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_INVENTORY_ENABLED": enabled, "CGC_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            check=True,
            timeout=300,
        )
        view: Mapping[str, Any] = json.loads(asked.stdout)
        return view

    ours = [told(WHOLE_NATION / "nation.yaml", "nation") for _ in range(2)]
    theirs = told(script, "script")
    assert ours == [theirs, theirs]
    assert len(ours[0]["variables"]) == 200
    assert len(ours[0]["members"]["all"]) == len(whole.nodes)
