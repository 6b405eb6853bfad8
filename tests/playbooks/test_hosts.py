"""Who is a host, in which order a change reaches the nation, and what of a run is told."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from inventories.model import Nation, Role
from playbooks import running
from playbooks.bundle import Bundle
from playbooks.errors import PlaybookError
from playbooks.hosts import groups_of, hosts_of, variables_of, waves_of
from playbooks.knobs import FACTS
from playbooks.routing import children_of, nation_prefixes, prefixes_below
from playbooks.running import HostState, SshIdentity, run_play, ssh_arguments, write_bundles

IDENTITY = SshIdentity(private_key=Path("/k"), certificate=Path("/k-cert.pub"), known_hosts=Path("/known"))


def test_every_node_is_in_exactly_one_wave(nation: Nation) -> None:
    """Nobody is forgotten and nobody changed twice; the hosts of the inventory come in the waves' order."""
    names = [name for wave in waves_of(nation) for name in wave]
    assert sorted(names) == [node.name for node in nation.nodes]
    assert [host.name for host in hosts_of(nation)] == names


def test_a_change_meets_one_leaf_first_and_never_both_planes_at_once(nation: Nation) -> None:
    """The first wave is one commune; cores come last, plane by plane."""
    waves = waves_of(nation)
    assert [nation.node_by_name[name].role for name in waves[0]] == [Role.COMMUNE]
    for wave in waves:
        assert len({nation.node_by_name[name].plane for name in wave if nation.node_by_name[name].plane}) <= 1
    assert {nation.node_by_name[name].role for wave in waves[-2:] for name in wave} == {Role.CORE}


def test_platforms_on_two_clusters_keep_one_while_the_other_is_changed(nation: Nation) -> None:
    """No wave holds every host of a platform that runs on several clusters."""
    for platform in nation.platforms:
        hosts = {host.name for cluster in platform.clusters for host in nation.hosts_of(nation.cluster_by_id[cluster])}
        if len(platform.clusters) > 1:
            assert not any(hosts <= set(wave) for wave in waves_of(nation)), platform.id


def test_groups_follow_from_the_declaration(nation: Nation) -> None:
    """Every node is in `network`, which is first; the other groups have whom they should, in the waves' order."""
    hosts = hosts_of(nation)
    groups = groups_of(nation, hosts)
    assert next(iter(groups.items())) == ("network", tuple(host.name for host in hosts))
    assert set(groups["plane_a"]) == {"core-a-hn", "core-a-hcm"}
    assert groups["tier_egc"] == ("egc-demo-1",)
    assert groups["cluster_cgc_north"] == ("cgc-north-1",)
    assert set(groups["level_district"]) == {"district-164", "district-916"}
    assert groups["province_92"] == ("commune-31117", "commune-31120", "district-916", "province-92")
    assert groups["agency_dn_demo"] == ("egc-demo-1",)
    assert set(groups["centre_regional"]) == {*groups["role_core"], "cgc-north-1", "cgc-south-1"}
    for group, members in groups.items():
        assert group.replace("_", "").isalnum(), group
        assert list(members) == [host.name for host in hosts if host.name in members], group


def test_a_host_knows_its_place_in_the_nation(nation: Nation) -> None:
    """A commune's facts are all there, as plain text and numbers; what a node has not is left out."""
    assert variables_of(nation, nation.node_by_name["commune-05440"]) == {
        "ansible_host": str(nation.node_by_name["commune-05440"].management4),
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "node_role": "commune",
        "site": "05440",
        "site_name": "Phường Hoàng Văn Thụ",
        "home": "hn",
        "region": "north",
        "province": "19",
        "level": "commune",
        "access_level": 2,
        "agency": "ubnd-thainguyen",
        "as_number": nation.node_by_name["commune-05440"].as_number,
        "loopback4": str(nation.node_by_name["commune-05440"].loopback.ipv4),
        "loopback6": str(nation.node_by_name["commune-05440"].loopback.ipv6),
    }
    host = variables_of(nation, nation.node_by_name["egc-demo-1"])
    assert (host["cluster"], host["tier"], host["agency"]) == ("egc-demo", "egc", "dn-demo")
    assert "province" not in host


def test_the_facts_that_knobs_may_not_shadow_are_those_that_hosts_have(nation: Nation) -> None:
    """No fact can be added to hosts without being refused in group_vars."""
    assert {name for host in hosts_of(nation) for name in host.variables} == FACTS


def test_what_is_below_a_node_is_its_own_and_its_childrens(nation: Nation) -> None:
    """A district has its communes' prefixes and its own; no prefix of the whole nation lies in another."""
    district = nation.node_by_name["district-164"]
    assert {child.name for child in children_of(nation, district)} == {"commune-05440", "commune-05446"}
    below = prefixes_below(nation, district)
    assert len(below) == 2 * 3
    for version in (4, 6):
        prefixes = nation_prefixes(nation, version)
        pairs = [(one, other) for one in prefixes for other in prefixes if one != other]
        assert not any(one.overlaps(other) for one, other in pairs)


def test_ssh_takes_only_the_authoritys_word() -> None:
    """Host keys are checked strictly against one file, people by certificate, nobody is asked."""
    words = shlex.split(ssh_arguments(IDENTITY, Path("/c")))
    options = dict(word.split("=", 1) for word in words if "=" in word)
    options = {name.removeprefix("-o"): value for name, value in options.items()}
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["UserKnownHostsFile"] == "/known"
    assert options["GlobalKnownHostsFile"] == "none"
    assert options["CertificateFile"] == "/k-cert.pub"
    assert options["BatchMode"] == "yes"


def test_bundles_on_disk_are_for_nobody_else_to_read(bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """Some of a bundle's files are secrets."""
    write_bundles(bundles, tmp_path / "b")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "b").iterdir()} == {0o600}
    assert len(list((tmp_path / "b").iterdir())) == len(bundles)


def test_an_unknown_play_is_refused(nation: Nation, tmp_path: Path) -> None:
    """CGC-310, before anything is started."""
    with pytest.raises(PlaybookError, match="CGC-310"):
        run_play("nothing", nation=nation, identity=IDENTITY, directory=tmp_path)


def test_a_run_is_told_host_by_host() -> None:
    """Events become results: changed with its files, failed and unreachable with their words, silent as not run."""
    seen: list[tuple[str, str, str]] = []
    events = running._Events(lambda host, task, outcome: seen.append((host, task, outcome)))
    applied = {
        "changed": True,
        "fingerprint": "f",
        "paths": {"/etc/hosts": ["content"]},
        "units": ["reload frr.service"],
        "diff": [{"before_header": "/etc/hosts (now)", "after_header": "", "before": "a", "after": "b"}],
    }
    for kind, host, result in (
        ("runner_on_ok", "one", applied),
        ("runner_on_failed", "two", {"msg": "validate: no"}),
        ("runner_on_unreachable", "three", {"msg": "timed out"}),
        ("runner_on_ok", "four", {"changed": False}),
    ):
        events.take({"event": kind, "event_data": {"host": host, "task": "Apply", "res": result}})
    results = {result.host: result for result in events.results(["one", "two", "three", "four", "five"])}
    assert {name: result.state for name, result in results.items()} == {
        "one": HostState.CHANGED,
        "two": HostState.FAILED,
        "three": HostState.UNREACHABLE,
        "four": HostState.UNCHANGED,
        "five": HostState.NOT_RUN,
    }
    assert (results["one"].files[0].before, results["one"].files[0].after) == ("a", "b")
    assert results["one"].units == ("reload frr.service",)
    assert results["two"].message == "validate: no"
    assert seen[0] == ("one", "Apply", "changed")


def test_every_role_says_what_it_takes() -> None:
    """Each role has a README and a typed argument specification whose options have descriptions."""
    roles = sorted(path for path in (running.ROOM / "roles").iterdir() if path.is_dir())
    assert roles
    for role in roles:
        assert (role / "README.md").exists()
        specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
        assert all(option["description"] and option["type"] for option in specification["options"].values())
