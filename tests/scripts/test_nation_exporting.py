"""`cgc nation export`: what other programs read is what they accept, only what fits, and the same bytes each time."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from inventories import Nation, load_nation
from inventories.errors import ExitCode
from inventories.model import Role
from inventories.services import ALERTMANAGER_PORT, NODE_EXPORTER_PORT, PROMETHEUS_PORT, Service
from playbooks.hosts import groups_of, hosts_of
from playbooks.monitoring import prometheus_text
from scripts.cli import app
from scripts.nation_exporting import Format
from scripts.nation_netbox import netbox_files
from tests.tools import run_tool

CHECKOUT = Path(__file__).parents[2]
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def export(*words: str, declaration: str = "inventories/rehearsal") -> Result:
    """Run `cgc nation export …`."""
    return runner.invoke(
        app, ["--declaration", str(CHECKOUT / declaration), "nation", "export", *words], prog_name="cgc"
    )


def exported(*words: str) -> Any:
    """Return what is printed, parsed."""
    result = export(*words)
    assert result.exit_code == ExitCode.AS_DECLARED, result.stderr
    return json.loads(result.stdout)


# ── Ansible ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ansibles_inventory_has_every_host_in_the_order_of_a_change(nation: Nation) -> None:
    """Variables and groups are those of the plays' own inventory."""
    everybody = exported("ansible")["all"]
    hosts = hosts_of(nation)
    assert [*everybody["hosts"]] == [host.name for host in hosts]
    assert everybody["hosts"] == {host.name: host.variables for host in hosts}
    groups = {group: tuple(content["hosts"]) for group, content in everybody["children"].items()}
    assert groups == groups_of(nation, hosts)


def test_ansibles_inventory_has_only_what_fits() -> None:
    """Hosts and members of groups; a group of nobody is not there."""
    everybody = exported("ansible", "--province", "thai nguyen", "--level", "commune")["all"]
    assert [*everybody["hosts"]] == ["commune-05440", "commune-05446"]
    assert {name for group in everybody["children"].values() for name in group["hosts"]} == set(everybody["hosts"])
    assert "role_core" not in everybody["children"]


@pytest.mark.slow
def test_ansible_reads_its_inventory(nation: Nation, tmp_path: Path) -> None:
    """`ansible-inventory --list` finds every host with its variables, and every group."""
    file = tmp_path / "nation.json"
    assert export("ansible", "--out", str(file)).exit_code == ExitCode.AS_DECLARED
    (tmp_path / "ansible.cfg").write_text("[inventory]\nany_unparsed_is_failed = True\n", encoding="utf-8")
    run = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", file, "--list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")},
    )
    listed = json.loads(run.stdout)
    hosts = hosts_of(nation)
    assert listed["_meta"]["hostvars"] == {host.name: host.variables for host in hosts}
    for group, members in groups_of(nation, hosts).items():
        assert set(listed[group]["hosts"]) == set(members)


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prometheus_targets_have_the_shape_of_file_sd(nation: Nation) -> None:
    """A list of {targets, labels}: addresses with a port, labels with Prometheus' names and text as values."""
    groups = exported("file-sd")
    assert groups
    for group in groups:
        assert set(group) == {"targets", "labels"}
        for target in group["targets"]:
            address, _, port = target.rpartition(":")
            assert ipaddress.ip_address(address) in nation.management.ipv4
            assert 0 < int(port) < 65_536
        for name, value in group["labels"].items():
            assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)
            assert isinstance(value, str)


def test_prometheus_targets_are_those_of_the_nations_own(nation: Nation) -> None:
    """Every node's exporter, and at the operations centre what it serves, under the same jobs and ports."""
    groups = exported("file-sd")
    nodes = {group["labels"]["node"]: group for group in groups if group["labels"]["job"] == "node"}
    assert nodes.keys() == {node.name for node in nation.nodes}
    assert all(group["targets"][0].endswith(f":{NODE_EXPORTER_PORT}") for group in nodes.values())
    (operations,) = nation.with_role(Role.OPERATIONS)
    own = yaml.safe_load(prometheus_text(nation, operations))
    jobs = {group["labels"]["job"]: int(group["targets"][0].rpartition(":")[2]) for group in groups}
    assert jobs.keys() == {job["job_name"] for job in own["scrape_configs"]}
    assert sorted(jobs.values()) == sorted(
        [NODE_EXPORTER_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT, *(service.port for service in Service)]
    )
    written = {
        (target, *(labels[name] for name in ("node", "site", "role")))
        for job in own["scrape_configs"]
        if job["job_name"] == "node"
        for one in job["static_configs"]
        for target in one["targets"]
        for labels in [one["labels"]]
    }
    assert written == {
        (group["targets"][0], *(group["labels"][name] for name in ("node", "site", "role"))) for group in nodes.values()
    }


@pytest.mark.slow
def test_promtool_accepts_the_targets(tmp_path: Path) -> None:
    """`promtool check config` reads the file that a configuration refers to, and refuses a broken one."""
    targets = tmp_path / "targets.json"
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(
        f"scrape_configs: [{{job_name: nation, file_sd_configs: [{{files: [{targets}]}}]}}]\n", encoding="utf-8"
    )
    assert export("file-sd", "--out", str(targets)).exit_code == ExitCode.AS_DECLARED
    assert run_tool("promtool", "check", "config", str(configuration)).returncode == 0
    targets.write_text(targets.read_text(encoding="utf-8").replace('"targets"', '"target"'), encoding="utf-8")
    assert run_tool("promtool", "check", "config", str(configuration)).returncode != 0


# ── The map ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def assert_is_a_position(position: Any) -> None:
    """Assert RFC 7946, 3.1.1 and 4: longitude and latitude in degrees, in this order; here, of this country."""
    longitude, latitude = position
    assert isinstance(longitude, float)
    assert isinstance(latitude, float)
    assert 102 < longitude < 118  # the islands included
    assert 6 < latitude < 24


@pytest.mark.parametrize(
    "declaration", ["inventories/rehearsal", pytest.param("inventories/nation-2025", marks=pytest.mark.slow)]
)
def test_the_map_keeps_the_rules_of_geojson(declaration: str) -> None:
    """RFC 7946: members and types of 3.1 to 3.3; identifiers are unique; no line from a place to itself (3.1.4)."""
    collection = json.loads(export("geojson", declaration=declaration).stdout)
    assert set(collection) == {"type", "features"}
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        assert set(feature) == {"type", "id", "geometry", "properties"}
        assert feature["type"] == "Feature"
        assert isinstance(feature["properties"], dict)
        geometry = feature["geometry"]
        assert set(geometry) == {"type", "coordinates"}
        if geometry["type"] == "Point":
            assert_is_a_position(geometry["coordinates"])
        else:
            assert geometry["type"] == "LineString"
            assert len(geometry["coordinates"]) == 2
            assert geometry["coordinates"][0] != geometry["coordinates"][1]
            for position in geometry["coordinates"]:
                assert_is_a_position(position)
    identifiers = [feature["id"] for feature in collection["features"]]
    assert len(identifiers) == len(set(identifiers))


def test_the_map_has_every_site_and_every_link_between_two(nation: Nation) -> None:
    """Links inside a site are left out; a fact of links alone leaves links alone."""
    features = exported("geojson")["features"]
    sites = {feature["properties"]["code"] for feature in features if feature["properties"]["what"] == "site"}
    assert sites == {site.code for site in nation.sites}
    ends = {link.name: {nation.node_by_name[end].site.code for end in link.ends} for link in nation.links}
    between = {name for name, codes in ends.items() if len(codes) > 1}
    drawn = {feature["properties"]["name"] for feature in features if feature["properties"]["what"] == "link"}
    assert drawn == between
    backbone = exported("geojson", "--where", "link_class=backbone")["features"]
    assert {feature["id"] for feature in backbone} == {"link/core-a-hcm--core-a-hn", "link/core-b-hcm--core-b-hn"}


# ── NetBox ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# The fields of the import forms of NetBox v4.6.8 that are used here (netbox/{dcim,ipam,tenancy}/forms/bulk_import.py).
IMPORT_FIELDS = {
    "rirs": "name slug is_private description owner comments tags",
    "asns": "asn rir role tenant description owner comments tags",
    "route-targets": "name tenant description owner comments tags",
    "vrfs": "name rd tenant enforce_unique description import_targets export_targets owner comments tags",
    "tenants": "name slug group description owner comments tags",
    "regions": "name slug parent description owner comments tags",
    "sites": "name slug status region group tenant facility time_zone description physical_address shipping_address "
    "latitude longitude owner comments tags",
    "manufacturers": "name slug description owner comments tags",
    "device-roles": "name slug parent color vm_role config_template description owner comments tags",
    "devices": "name role tenant manufacturer device_type platform serial asset_tag status site location rack position "
    "face latitude longitude parent device_bay airflow virtual_chassis vc_position vc_priority cluster description "
    "config_template owner comments tags",
    "interfaces": "device name label parent bridge lag type speed duplex enabled mark_connected wwn vdcs mtu mgmt_only "
    "description poe_mode poe_type mode vlan_group untagged_vlan tagged_vlans qinq_svlan vrf rf_role rf_channel "
    "rf_channel_frequency rf_channel_width tx_power owner tags",
    "ip-addresses": "address vrf tenant status role device virtual_machine interface fhrp_group is_primary is_oob "
    "dns_name description owner comments tags",
    "prefixes": "prefix vrf tenant vlan_group vlan_site vlan status role scope_type scope_name scope_id is_pool "
    "mark_utilized description owner comments tags",
    "cables": "side_a_site side_a_device side_a_power_panel side_a_type side_a_name side_b_site side_b_device "
    "side_b_power_panel side_b_type side_b_name type status profile tenant bundle label color length length_unit "
    "description owner comments tags",
}
# Which column holds the name of what another file has imported before: (file, column, file, column).
REFERENCES = (
    ("asns", "rir", "rirs", "name"),
    ("vrfs", "import_targets", "route-targets", "name"),
    ("regions", "parent", "regions", "name"),
    ("sites", "region", "regions", "name"),
    ("sites", "tenant", "tenants", "name"),
    ("devices", "role", "device-roles", "name"),
    ("devices", "manufacturer", "manufacturers", "name"),
    ("devices", "site", "sites", "name"),
    ("devices", "tenant", "tenants", "name"),
    ("interfaces", "device", "devices", "name"),
    ("ip-addresses", "device", "devices", "name"),
    ("prefixes", "vrf", "vrfs", "name"),
    ("prefixes", "scope_name", "sites", "name"),
    ("cables", "side_a_device", "devices", "name"),
    ("cables", "side_b_device", "devices", "name"),
)


def netbox_tables(files: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each CSV file, by its name without number and ending, in the order of import."""
    return {
        name[3:].removesuffix(".csv"): [*csv.DictReader(io.StringIO(text))]
        for name, text in sorted(files.items())
        if name.endswith(".csv")
    }


@pytest.fixture
def netbox(nation: Nation) -> dict[str, list[dict[str, str]]]:
    """Return what is exported of the whole nation."""
    return netbox_tables(netbox_files(nation, [*nation.nodes]))


def test_netbox_knows_every_column(netbox: dict[str, list[dict[str, str]]]) -> None:
    """Each is a field of the import form of its kind of object."""
    assert netbox.keys() == IMPORT_FIELDS.keys()
    for name, rows in netbox.items():
        assert rows, name
        assert set(rows[0]) <= set(IMPORT_FIELDS[name].split()), name


def test_netbox_finds_what_each_row_refers_to(nation: Nation, netbox: dict[str, list[dict[str, str]]]) -> None:
    """By a name that is unique, in a file that was imported before, or in an earlier row of the same file."""
    assert {row["name"] for row in netbox["sites"]} == {f"{site.name} ({site.code})" for site in nation.sites}
    order = [*netbox]
    for file, column, other, key in REFERENCES:
        names = [row[key] for row in netbox[other]]
        assert len(names) == len(set(names)), other
        assert order.index(other) <= order.index(file)
        assert {row[column] for row in netbox[file]} - {""} <= set(names), (file, column)
    seen: set[str] = set()
    for row in netbox["regions"]:
        assert row["parent"] in seen | {""}
        seen.add(row["name"])
    interfaces: set[tuple[str, str]] = set()
    for row in netbox["interfaces"]:
        assert not row["parent"] or ((row["device"], row["parent"]) in interfaces and row["type"] == "virtual")
        interfaces.add((row["device"], row["name"]))
    assert len(interfaces) == len(netbox["interfaces"])
    assert {(row["device"], row["interface"]) for row in netbox["ip-addresses"]} == interfaces
    for row in netbox["cables"]:
        assert (row["side_a_device"], row["side_a_name"]) in interfaces
        assert (row["side_b_device"], row["side_b_name"]) in interfaces
    types = [*yaml.safe_load_all(netbox_files(nation, [*nation.nodes])["09-device-types.yaml"])]
    assert {row["device_type"] for row in netbox["devices"]} == {kind["model"] for kind in types}


def test_netbox_gets_every_address_once(nation: Nation, netbox: dict[str, list[dict[str, str]]]) -> None:
    """Every node's, with one primary address of each family and one to reach it out of band; slugs are slugs."""
    addresses = [row["address"] for row in netbox["ip-addresses"]]
    assert len(addresses) == len(set(addresses))
    assert len(addresses) == 2 * sum(2 + len(node.interfaces) + len(node.tunnels) for node in nation.nodes)
    assert sum(row["is_primary"] == "true" for row in netbox["ip-addresses"]) == 2 * len(nation.nodes)
    assert sum(row["is_oob"] == "true" for row in netbox["ip-addresses"]) == len(nation.nodes)
    slugs = [row["slug"] for rows in netbox.values() for row in rows if "slug" in row]
    assert all(re.fullmatch(r"[-a-zA-Z0-9_]{1,100}", slug) for slug in slugs)


def test_netbox_gets_only_what_fits(nation: Nation) -> None:
    """Nodes that fit, their sites, the regions that these lie in, and links of which both ends are there."""
    province = [node for node in nation.nodes if node.site.province == "19"]
    tables = netbox_tables(netbox_files(nation, province))
    assert {row["name"] for row in tables["devices"]} == {node.name for node in province}
    assert [row["slug"] for row in tables["regions"]] == ["country-vn", "province-19", "district-164"]
    assert {row["label"] for row in tables["cables"]} == {
        "agc-tn-1--province-19",
        "commune-05440--district-164",
        "commune-05446--district-164",
        "district-164--province-19",
    }


# ── All of them ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in Format if form is not Format.NETBOX])
def test_a_file_holds_what_is_printed_and_the_same_each_time(tmp_path: Path, form: Format) -> None:
    """Byte for byte; the folder is made if there is none, and nothing else is left in it."""
    file = tmp_path / "new" / "file"
    first = export(form.value, "--out", str(file), "--json")
    assert json.loads(first.stdout) == {
        "format": form.value,
        "files": [{"file": str(file), "bytes": file.stat().st_size}],
    }
    assert file.read_text(encoding="utf-8") == export(form.value).stdout
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.slow
def test_netbox_takes_a_directory(tmp_path: Path) -> None:
    """Its files, numbered as they are imported; again the same bytes; without a directory, wrong input."""
    one, other = tmp_path / "one", tmp_path / "other"
    assert export("netbox", "--out", str(one)).exit_code == ExitCode.AS_DECLARED
    assert export("netbox", "--out", str(other)).exit_code == ExitCode.AS_DECLARED
    names = sorted(path.name for path in one.iterdir())
    assert [int(name[:2]) for name in names] == [*range(1, len(names) + 1)]
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
    refused = export("netbox")
    assert (refused.exit_code, refused.stderr[:7], refused.stdout) == (ExitCode.WRONG_INPUT, "CGC-694", "")


def test_an_export_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """Exit code 1 and the place; what was there before is still there."""
    (tmp_path / "file").write_text("here", encoding="utf-8")
    result = export("geojson", "--out", str(tmp_path / "file" / "below"))
    assert (result.exit_code, result.stderr[:7]) == (ExitCode.FAILED, "CGC-695")
    assert export("geojson", "--out", str(tmp_path)).exit_code == ExitCode.FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [*Format])
def test_eleven_thousand_sites_are_exported(form: Format, tmp_path: Path) -> None:
    """A whole nation is exported, and every node of it is there."""
    result = export(form.value, "--out", str(tmp_path / "out"), declaration="inventories/nation-2021")
    assert result.exit_code == ExitCode.AS_DECLARED
    nation = load_nation(CHECKOUT / "inventories" / "nation-2021")
    if form is Format.NETBOX:
        assert (
            len((tmp_path / "out" / "11-devices.csv").read_text(encoding="utf-8").splitlines()) == len(nation.nodes) + 1
        )
    else:
        assert (tmp_path / "out").stat().st_size > 1_000_000
