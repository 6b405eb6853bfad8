"""What a node says of itself is what its programs said; each difference from its bundle is found and attributed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from playbooks import node_agent
from playbooks.node_interfaces import commands

LET_IN = "Accepted publickey for root from 10.0.0.{peer} port 5 ssh2: ED25519-CERT SHA256:x ID {who} (serial 5) CA E"
BEGAN = "Starting session: {what} for root from 10.0.0.{peer} port 5 id 0"
FORCED = "forced-command (key-option) '/usr/bin/python3 agent observe'"
JOURNAL = [
    (100, "7", LET_IN.format(peer=1, who="tran.b")),
    (100, "7", BEGAN.format(peer=1, what="command")),
    (130, "7", "Close session: user root from 10.0.0.1 port 5 id 0"),
    (105, "8", LET_IN.format(peer=2, who="cgc-observer")),
    (105, "8", BEGAN.format(peer=2, what=FORCED)),
    (200, "9", LET_IN.format(peer=3, who="operator")),
    (200, "9", BEGAN.format(peer=3, what="shell on pts/0")),
]


def entries() -> list[dict[str, Any]]:
    """Return journal entries as journalctl prints them."""
    return [
        {"MESSAGE": text, "_PID": process, "__REALTIME_TIMESTAMP": str(at * 1_000_000)} for at, process, text in JOURNAL
    ]


@pytest.mark.parametrize(
    ("changed_at", "who"),
    [(98.0, []), (99.5, ["tran.b"]), (110.0, ["tran.b"]), (150.0, []), (250.0, ["operator"]), (None, [])],
)
def test_a_change_is_attributed_to_whose_session_was_open(changed_at: float | None, who: list[str]) -> None:
    """By the certificate's identity; an observer under a forced command is never suspected."""
    found = node_agent.difference("/etc/hosts", "content", "a", "b", changed_at=changed_at)
    attributed = node_agent.attribute([found], node_agent.sessions(entries(), now=300.0))
    assert attributed[0]["changed_by"] == who


def test_a_change_while_two_were_there_names_both() -> None:
    """Where it cannot be told apart, nobody is left out."""
    overlapping = [("a", 0.0, 10.0), ("b", 5.0, 20.0)]
    found = node_agent.difference("/x", "mode", "0644", "0666", changed_at=7.0)
    assert node_agent.attribute([found], overlapping)[0]["changed_by"] == ["a", "b"]


def test_each_way_in_which_a_file_can_differ_is_told(tmp_path: Path) -> None:
    """Content with its diff, mode, and absence; a secret's diff stays empty."""
    (tmp_path / "etc").mkdir()
    staged = tmp_path / "var/lib/cgc/staged/f/etc"
    staged.mkdir(parents=True)
    for name, text in (("same", "a\n"), ("edited", "a\n"), ("opened", "a\n"), ("key", "a\n")):
        (tmp_path / "etc" / name).write_text(text)
        (tmp_path / "etc" / name).chmod(0o644)
        (staged / name).write_text(text)
    state = node_agent.file_state("/etc/same", root=tmp_path)
    assert state is not None
    facts = {**state, "secret": False}
    manifest = {
        "fingerprint": "f",
        "files": {f"/etc/{name}": facts for name in ("same", "edited", "opened", "gone")}
        | {"/etc/key": {**facts, "secret": True}},
    }
    (tmp_path / "etc/edited").write_text("b\n")
    (tmp_path / "etc/opened").chmod(0o666)
    (tmp_path / "etc/key").write_text("sesame\n")
    found = {
        item["path"]: item
        for item in node_agent.file_differences(
            manifest, node_agent.file_states(manifest, root=tmp_path), root=tmp_path
        )
    }
    assert {path: item["aspect"] for path, item in found.items()} == {
        "/etc/edited": "content",
        "/etc/opened": "mode",
        "/etc/gone": "missing",
        "/etc/key": "content",
    }
    assert "-a\n+b\n" in found["/etc/edited"]["diff"]
    assert found["/etc/key"]["diff"] == ""
    assert all(item["changed_at"] is not None for item in found.values())


def test_a_rule_or_a_route_map_added_by_hand_is_a_difference() -> None:
    """What the daemons hold is compared with what they held after the last verified change."""
    frr = "Building configuration...\n\nCurrent configuration:\n!\nrouter bgp 1\n!\nend\n"
    applied = {"nftables": "table inet cgc {}\n", "frr": "router bgp 1\nend\n"}
    assert node_agent.runtime_differences(applied, nftables="table inet cgc {}\n", frr=frr) == []
    found = node_agent.runtime_differences(applied, nftables="table inet cgc { accept }\n", frr=None)
    assert [item["aspect"] for item in found] == ["nftables", "frr"]
    assert "+table inet cgc { accept }" in found[0]["diff"]


def test_a_kernel_parameter_that_was_turned_is_a_difference(tmp_path: Path) -> None:
    """Comments are skipped, blanks do not count, a missing parameter is told."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/forward").write_text("0\n")
    (tmp_path / "net/range").write_text("1\t2\n")
    text = "# why\nnet.forward = 1\nnet.range = 1 2\nnet.absent = 3\n"
    found = node_agent.sysctl_differences(text, proc=tmp_path)
    assert [(item["path"], item["expected"], item["found"]) for item in found] == [
        ("net.forward", "1", "0"),
        ("net.absent", "3", "no such parameter"),
    ]


def test_units_must_run_and_be_able_to_start_again() -> None:
    """A stopped and a masked unit differ; an unknown one is not taken for a good one."""
    shown = (
        "Id=a.service\nNames=a.service alias.service\nActiveState=active\nUnitFileState=disabled\n\n"
        "Id=b.service\nNames=b.service\nActiveState=inactive\nStateChangeTimestamp=@1700000000\n\n"
        "Id=c.service\nNames=c.service\nActiveState=active\nUnitFileState=masked\n"
    )
    units = [{"name": f"{name}.service"} for name in ("a", "alias", "b", "c", "d")]
    found = node_agent.unit_differences(units, shown)
    assert [(item["path"], item["found"]) for item in found] == [
        ("b.service", "inactive"),
        ("c.service", "masked"),
        ("d.service", "unknown"),
    ]
    assert found[0]["changed_at"] == 1_700_000_000


def test_neighbours_are_read_as_frr_prints_them() -> None:
    """FRR 8.4's JSON: BGP in a family, OSPF of both versions."""
    bgp = {"peers": {"10.0.0.1": {"remoteAs": 65001, "state": "Established", "peerUptimeMsec": 7000, "pfxRcd": 3}}}
    assert node_agent.bgp_neighbours(bgp, "ipv4") == [
        {
            "peer": "10.0.0.1",
            "family": "ipv4",
            "state": "Established",
            "peer_as": 65001,
            "uptime_seconds": 7,
            "prefixes_received": 3,
        }
    ]
    ospf = {"neighbors": {"10.0.0.9": [{"nbrState": "Full/-", "ifaceName": "core-a-hcm:10.1.0.1"}]}}
    assert node_agent.ospf_neighbours(ospf) == [
        {"interface": "core-a-hcm", "version": 2, "router_id": "10.0.0.9", "state": "Full"}
    ]
    ospf6 = {"neighbors": [{"neighborId": "10.0.0.9", "state": "Full", "interfaceName": "core-a-hcm"}]}
    assert node_agent.ospf6_neighbours(ospf6)[0]["version"] == 3


def test_tunnels_are_read_without_their_private_keys() -> None:
    """The interface's own line, with its key, is passed over; a peer that never spoke has no handshake."""
    dump = (
        "wg-164\tPRIVATE\tPUBLIC\t51820\toff\n"
        "wg-164\tPEER\t(none)\t[fd00::1]:1\t0.0.0.0/0\t1700000000\t10\t20\t10\n"
        "wg-165\tOTHER\t(none)\t(none)\t::/0\t0\t0\t0\toff\n"
    )
    found = node_agent.tunnels(dump)
    assert [(one["public_key"], one["handshake_at"]) for one in found] == [
        ("PEER", "2023-11-14T22:13:20Z"),
        ("OTHER", None),
    ]
    assert "PRIVATE" not in json.dumps(found)


def test_a_silent_time_daemon_is_no_clock() -> None:
    """Columns of chronyc(1); no answer is None, never a synchronised clock."""
    line = "0A420514,10.66.5.20,9,1700000000.0,-0.000004,0.0,0.0,0.0,0.0,0.0,0.0,0.0,4.0,Normal\n"
    assert node_agent.clock(line) == {
        "is_synchronised": True,
        "offset_seconds": -0.000004,
        "stratum": 9,
        "source": "10.66.5.20",
    }
    assert node_agent.clock(None) is None
    state = node_agent.clock(line.replace("Normal", "Not synchronised"))
    assert state is not None
    assert not state["is_synchronised"]


@pytest.mark.parametrize(
    ("texts", "months"),
    [
        (["[Journal]\nMaxRetentionSec=12month\n"], 12),
        (["MaxRetentionSec=2year\n", "MaxRetentionSec=1week\n"], 0),
        (["MaxRetentionSec=1year 6month\n"], 18),
        (["#MaxRetentionSec=12month\n"], None),
        ([], None),
    ],
)
def test_retention_is_what_the_last_file_says(texts: list[str], months: int | None) -> None:
    """Whole months, the last setting counting; None where nothing limits it by time."""
    assert node_agent.retention_months(texts) == months


@pytest.mark.parametrize(
    ("user", "verb", "code", "is_ours"),
    [
        ("tran.b", "patch", 200, True),
        ("tran.b", "get", 200, False),
        ("tran.b", "create", 403, False),
        ("system:kube-scheduler", "create", 201, False),
    ],
)
def test_peoples_writes_are_told_from_the_machinerys(user: str, verb: str, code: int, is_ours: bool) -> None:  # noqa: FBT001
    """Only successful writes by somebody who is no part of Kubernetes."""
    event = {"user": {"username": user}, "verb": verb, "responseStatus": {"code": code}}
    assert node_agent.is_written_by_person(event) == is_ours


def test_the_audit_log_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newest last; a line that is being written does no harm; no log is no change."""
    monkeypatch.setattr(node_agent, "AUDIT_LOG", tmp_path / "audit.log")
    assert node_agent.changes() == []
    lines = [
        json.dumps({"user": {"username": "a"}, "verb": "create", "responseStatus": {"code": 201}, "auditID": str(n)})
        for n in range(3)
    ]
    (tmp_path / "audit.log").write_text("\n".join(lines) + '\n{"user": ')
    assert [event["auditID"] for event in node_agent.changes()] == ["0", "1", "2"]


def test_what_is_asked_over_ssh_counts_before_the_forced_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The observer may ask any of the questions and nothing else."""
    monkeypatch.setitem(os.environ, "SSH_ORIGINAL_COMMAND", "changes")
    monkeypatch.setattr(node_agent, "AUDIT_LOG", Path("/nonexistent"))
    assert node_agent.main(["observe"]) == 0
    assert capsys.readouterr().out == "[]\n"
    monkeypatch.delitem(os.environ, "SSH_ORIGINAL_COMMAND")
    assert node_agent.main(["rm -rf /"]) == 2


PRESENT = [
    {"ifname": "lo", "flags": ["UP"], "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
    {"ifname": "up1", "flags": [], "addr_info": [{"local": "10.0.0.9", "prefixlen": 31, "scope": "global"}]},
    {"ifname": "mgmt0", "flags": ["UP"], "addr_info": [{"local": "10.9.0.1", "prefixlen": 24, "scope": "global"}]},
]


def test_interfaces_get_exactly_their_addresses() -> None:
    """What is missing is added, what is strange removed, what is down set up; other interfaces are left alone."""
    wanted = {"lo": ["10.0.0.1/32"], "up1": ["10.0.0.2/31", "fd00::2/127"]}
    assert commands(wanted, PRESENT) == [
        "address add 10.0.0.1/32 dev lo",
        "address del 10.0.0.9/31 dev up1",
        "address add 10.0.0.2/31 dev up1",
        "address add fd00::2/127 dev up1",
        "link set dev up1 up",
    ]


def test_interfaces_that_are_right_are_not_touched() -> None:
    """Run again, there is nothing to do."""
    assert commands({"mgmt0": ["10.9.0.1/24"]}, PRESENT) == []


def test_a_missing_interface_and_a_strange_address_are_differences() -> None:
    """The agent tells what node_interfaces would have to mend."""
    wanted = {"up1": ["10.0.0.2/31"], "absent": ["10.0.0.4/31"]}
    found = node_agent.address_differences(wanted, PRESENT)
    assert [(item["path"], item["found"]) for item in found] == [
        ("up1", "10.0.0.9/31"),
        ("up1", "down"),
        ("absent", "missing"),
    ]
