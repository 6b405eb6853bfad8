"""Wrong declarations are refused: exit code 2, file and line, what to do next, and nothing is touched."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inventories import load_nation
from inventories.errors import ExitCode
from inventories.reading import LARGEST_FILE_BYTES, DeclarationRefusedError
from scripts.cli import app


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One way to get a declaration wrong: what is replaced in which file, and the line and code of the refusal."""

    name: str
    file: str
    old: str
    new: str
    code: str
    line: int
    says: str
    refused_in: str = ""  # another file, where the change makes that one wrong


PLANES = "  - {name: a, as_number: 64601}\n  - {name: b, as_number: 64602}\n"
BACKUP = "name: x, kind: backup, region: north, latitude: 21, longitude: 105, backs_up: hn"
WRONG = [
    Wrong(name="a duplicate key", file="nation.yaml", old="domain: dientap.test",
          new="domain: dientap.test\nname: other", code="CGC-103", line=6, says="'name' a second time"),
    Wrong(name="a duplicate key inside", file="clusters.yaml", old="    tier: cgc\n",
          new="    tier: cgc\n    tier: cgc\n", code="CGC-103", line=4, says="'tier' a second time"),
    Wrong(name="an unknown key", file="platforms.yaml", old="    replicas: 2", new="    replica: 2",
          code="CGC-104", line=10, says="unknown key 'replica'"),
    Wrong(name="a missing key", file="platforms.yaml", old="    port: 30101\n", new="",
          code="CGC-105", line=3, says="lacks 'port'"),
    Wrong(name="NO is not false", file="tiers.yaml", old="needs_certification: false", new="needs_certification: NO",
          code="CGC-106", line=3, says="'NO'; write true or false"),
    Wrong(name="a number with a leading zero", file="platforms.yaml", old="replicas: 2", new="replicas: 010",
          code="CGC-106", line=10, says="without leading zeros"),
    Wrong(name="a wrong type", file="platforms.yaml", old="level: 4", new="level: four",
          code="CGC-106", line=8, says="whole number"),
    Wrong(name="a number out of range", file="platforms.yaml", old="level: 4", new="level: 6",
          code="CGC-106", line=8, says="from 1 to 5"),
    Wrong(name="a list for a value", file="platforms.yaml", old="owner: bca", new="owner: [bca]",
          code="CGC-106", line=6, says="no single value"),
    Wrong(name="a value for a list", file="platforms.yaml", old="clusters: [cgc-north, cgc-south]",
          new="clusters: cgc-north", code="CGC-106", line=9, says="no list"),
    Wrong(name="an unknown tier", file="platforms.yaml", old="tier: cgc", new="tier: sgc",
          code="CGC-106", line=7, says="one of cgc, agc, egc"),
    Wrong(name="a duration without a unit", file="network.yaml", old="hold: 9s", new="hold: 9",
          code="CGC-106", line=27, says="30s, 5m"),
    Wrong(name="a hold time that BGP does not know", file="network.yaml", old="hold: 9s", new="hold: 1s",
          code="CGC-106", line=27, says="from 3 to 65535"),
    Wrong(name="a date that is none", file="clusters.yaml", old="expires: 2027-12-31", new="expires: 2027-02-30",
          code="CGC-106", line=30, says="a date such as"),
    Wrong(name="dates the wrong way round", file="clusters.yaml", old="expires: 2027-12-31", new="expires: 2025-12-31",
          code="CGC-106", line=30, says="expires before it was issued"),
    Wrong(name="a prefix with host bits", file="network.yaml", old="10.0.0.0/13", new="10.0.0.1/13",
          code="CGC-106", line=8, says="host bits zero"),
    Wrong(name="a prefix of the other family", file="network.yaml", old="ipv4: 10.0.0.0/13", new="ipv4: fd94::/48",
          code="CGC-106", line=8, says="an IPv4 prefix"),
    Wrong(name="overlapping prefixes", file="clusters.yaml", old="ipv4: 10.112.32.0/20", new="ipv4: 10.112.0.0/21",
          code="CGC-108", line=14, says="do not meet"),
    Wrong(name="overlapping prefixes in IPv6 only", file="clusters.yaml", old="ipv6: fd94:2:5:101::/64",
          new="ipv6: fd94:2:5:100::/64", code="CGC-108", line=14, says="do not meet"),
    Wrong(name="a pool without room", file="network.yaml", old="10.0.0.0/13", new="10.0.0.0/24",
          code="CGC-112", line=8, says="give at least a /13"),
    Wrong(name="a multicast pool", file="network.yaml", old="fd94:2:1::/64", new="ff02:2:1::/64",
          code="CGC-106", line=8, says="unicast"),
    Wrong(name="a link with one end", file="network.yaml", old="ends: [hn, hcm]", new="ends: [hn]",
          code="CGC-109", line=21, says="exactly 2"),
    Wrong(name="a link with three ends", file="network.yaml", old="ends: [hn, hcm]", new="ends: [hn, hcm, hn]",
          code="CGC-109", line=21, says="exactly 2"),
    Wrong(name="a link to itself", file="network.yaml", old="ends: [hn, hcm]", new="ends: [hn, hn]",
          code="CGC-109", line=21, says="two core sites"),
    Wrong(name="a link to nowhere", file="network.yaml", old="ends: [hn, hcm]", new="ends: [hn, dn]",
          code="CGC-107", line=21, says="'dn' is not declared"),
    Wrong(name="a third plane, for which nodes have no numbers", file="network.yaml", old=PLANES,
          new=f"{PLANES}  - {{name: c, as_number: 64603}}\n", code="CGC-107", line=3, says="declare 2"),
    Wrong(name="two planes with one AS number", file="network.yaml", old="64602", new="64601",
          code="CGC-110", line=5, says="its own"),
    Wrong(name="a missing site", file="clusters.yaml", old="site: hn", new="site: hue",
          code="CGC-107", line=5, says="'hue' is not declared"),
    Wrong(name="a tier without rules", file="tiers.yaml", old="name: agc", new="name: cgc",
          code="CGC-110", line=4, says="declared twice"),
    Wrong(name="a level without retention", file="tiers.yaml", old="  - {level: 4, months: 12}\n", new="",
          code="CGC-107", line=6, says="lacks level 4"),
    Wrong(name="an enterprise cloud without certification", file="clusters.yaml", old="    certification:",
          new="    # certification:", code="CGC-105", line=23, says="without a certification"),
    Wrong(name="a platform twice", file="platforms.yaml", old="id: ndxp", new="id: nixa",
          code="CGC-110", line=14, says="declared twice"),
    Wrong(name="a platform on a cluster of another tier", file="platforms.yaml",
          old="clusters: [cgc-north, cgc-south]", new="clusters: [egc-demo]", code="CGC-107", line=9,
          says="a cluster of the platform's tier"),
    Wrong(name="a need of nothing", file="platforms.yaml", old="needs: [nixa, lgsp-thainguyen]", new="needs: [naxi]",
          code="CGC-107", line=25, says="'naxi' is not declared"),
    Wrong(name="a need of itself", file="platforms.yaml", old="needs: [nixa, lgsp-thainguyen]", new="needs: [ndxp]",
          code="CGC-110", line=25, says="needs itself"),
    Wrong(name="a port twice", file="platforms.yaml", old="port: 30102", new="port: 30101",
          code="CGC-110", line=23, says="one of its own"),
    Wrong(name="a share that does not hold its replicas", file="platforms.yaml",
          old="    replicas: 2\n    share: {cpu_millicores: 500, memory_mib: 512, pods: 8}\n    port: 30101",
          new="    replicas: 9\n    share: {cpu_millicores: 500, memory_mib: 512, pods: 8}\n    port: 30101",
          code="CGC-112", line=11, says="do not hold 9 replicas"),
    Wrong(name="a node's name twice", file="clusters.yaml", old="name: cgc-north-1", new="name: core-a-hn",
          code="CGC-110", line=6, says="two nodes are called core-a-hn"),
    Wrong(name="a name too long for an interface", file="centres.yaml", old="code: hcm", new="code: ho-chi-minh",
          code="CGC-106", line=4, says="15 are allowed"),
    Wrong(name="a unit without its parent", file="units.csv", old="164,district,Thành phố Thái Nguyên,19",
          new="164,district,Thành phố Thái Nguyên,20", code="CGC-107", line=5, says="'20', which is no declared unit"),
    Wrong(name="a commune under a commune", file="units.csv", old="05446,commune,Phường Quang Trung,164",
          new="05446,commune,Phường Quang Trung,05440", code="CGC-107", line=8, says="name a district or province"),
    Wrong(name="two codes that are one number", file="units.csv", old="05446,commune", new="5440,commune",
          code="CGC-110", line=8, says="are one number"),
    Wrong(name="a row with a field too few", file="units.csv", old=",21.591003,105.819862", new=",21.591003",
          code="CGC-113", line=8, says="has 5 fields"),
    Wrong(name="a header of other columns", file="units.csv", old="code,level", new="code,rank",
          code="CGC-113", line=1, says="write code,level,name"),
    Wrong(name="an expired override", file="overrides/network.yaml", old="overrides: []",
          new='overrides:\n  - {subject: "19", fact: homed_at, value: hcm, who: a, why: b, until: 2025-01-01}',
          code="CGC-115", line=3, says="remove it"),
    Wrong(name="an override of an unknown fact", file="overrides/network.yaml", old="overrides: []",
          new='overrides:\n  - {subject: "19", fact: colour, value: hcm, who: a, why: b, until: 2099-01-01}',
          code="CGC-115", line=3, says="known are homed_at"),
    Wrong(name="an override for a site that is not there", file="overrides/network.yaml", old="overrides: []",
          new='overrides:\n  - {subject: "98", fact: number, value: 98.0.0, who: a, why: b, until: 2099-01-01}',
          code="CGC-115", line=3, says="no declared province or district or commune"),
    Wrong(name="an override with a number of the backbone's", file="overrides/network.yaml", old="overrides: []",
          new='overrides:\n  - {subject: "19", fact: number, value: 0.0.0, who: a, why: b, until: 2099-01-01}',
          code="CGC-115", line=3, says="the backbone's block"),
    Wrong(name="two communes in one place of the address plan", file="units.csv", old="05446,commune",
          new="05501,commune", code="CGC-114", line=8, says="has the place 19.43.12 of 05440"),
    Wrong(name="a district in the scheme that has none", file="nation.yaml", old='scheme: "2021"', new='scheme: "2025"',
          code="CGC-107", line=5, says="164 is a district", refused_in="units.csv"),
    Wrong(name="a ring of two", file="network.yaml", old="bgp:",
          new="rings:\n  - {name: r, sites: [hn, hcm], link_class: backbone}\nbgp:",
          code="CGC-109", line=27, says="at least 3"),
    Wrong(name="a second backup centre", file="centres.yaml", old="  - {code: noc-hn",
          new=f"  - {{code: b1, number: 5, {BACKUP}}}\n  - {{code: b2, number: 6, {BACKUP}}}\n"
              "  - {code: noc-hn", code="CGC-110", line=6, says="the second backup centre of hn"),
    Wrong(name="a base that is not there", file="nation.yaml", old="domain:", new="based_on: ../nowhere\ndomain:",
          code="CGC-107", line=5, says="where no other declaration is"),
    Wrong(name="an anchor and an alias", file="clusters.yaml", old="{ipv4: 10.112.0.0/20, ipv6: fd94:2:5:100::/64}",
          new="&pods {ipv4: 10.112.0.0/20, ipv6: fd94:2:5:100::/64}", code="CGC-102", line=7, says="anchor"),
    Wrong(name="a tag", file="nation.yaml", old="name: rehearsal", new="name: !!python/name:os.system rehearsal",
          code="CGC-102", line=2, says="tag"),
    Wrong(name="two documents", file="nation.yaml", old="domain:", new="---\ndomain:", code="CGC-102", line=1,
          says="2 documents"),
    Wrong(name="broken syntax", file="nation.yaml", old="title: {", new="title: }", code="CGC-102", line=3,
          says="not YAML"),
    Wrong(name="a text over two lines", file="agencies.yaml", old='vi: "Bộ Công an"', new='vi: "Bộ\\nCông an"',
          code="CGC-106", line=3, says="on one line"),
    Wrong(name="a prefix with a netmask", file="network.yaml", old="10.0.0.0/13", new="10.0.0.0/255.248.0.0",
          code="CGC-106", line=8, says="no address with a number of bits"),
    Wrong(name="a prefix with a scope", file="network.yaml", old="fd94:2:1::/64", new="fd94:2:1::%eth0/64",
          code="CGC-106", line=8, says="no address with a number of bits"),
    Wrong(name="a prefix without length", file="network.yaml", old="10.0.0.0/13", new="10.0.0.0",
          code="CGC-106", line=8, says="no address with a number of bits"),
    Wrong(name="a pool that reaches into multicast", file="network.yaml", old="fd94:2:1::/64", new="fe00::/7",
          code="CGC-106", line=8, says="unicast"),
    Wrong(name="an agency's edge that is a gateway", file="centres.yaml", old="kind: gateway,",
          new="kind: gateway, agency: btc,", code="CGC-109", line=6, says="declare a ministry's edge"),
    Wrong(name="an agency of the whole country", file="agencies.yaml", old='unit: "19"', new="unit: VN",
          code="CGC-107", line=6, says="'VN' is not declared"),
    Wrong(name="a rule whose agencies cannot be written to", file="agencies.yaml", old="agencies:\n",
          new='each_province: {id: "tinh-{code}", name: {vi: a, en: b}, contact: "nobody"}\nagencies:\n',
          code="CGC-106", line=1, says="let it make an e-mail address"),
    Wrong(name="a rule whose agencies are called as nothing may be", file="agencies.yaml", old="agencies:\n",
          new='each_province: {id: "-{code}", name: {vi: a, en: b}, contact: "a@b.test"}\nagencies:\n',
          code="CGC-106", line=1, says="makes the id '-"),
    Wrong(name="a node that is called as its loopback", file="clusters.yaml", old="cgc-north-1", new="lo",
          code="CGC-106", line=6, says="that of another interface"),
    Wrong(name="a node that is called as a tunnel", file="clusters.yaml", old="cgc-north-1", new="wg-05440",
          code="CGC-106", line=6, says="that of another interface"),
    Wrong(name="a code with more digits than Python counts", file="units.csv", old="05446,commune",
          new=f"{'9' * 5000},commune", code="CGC-106", line=8, says="write a number from 0 to 131071"),
    Wrong(name="a ring that passes a site twice", file="network.yaml", old="bgp:\n",
          new="rings:\n  - {name: r, sites: [hn, hcm, hn], link_class: backbone}\nbgp:\n", code="CGC-110", line=27,
          says="name each site once"),
    Wrong(name="a ring past an unknown site", file="network.yaml", old="bgp:\n",
          new="rings:\n  - name: r\n    sites: [hn, hcm, hue]\n    link_class: backbone\nbgp:\n", code="CGC-107",
          line=28, says="'hue' is not declared"),
    Wrong(name="a fact overridden twice on one line", file="overrides/network.yaml", old="overrides: []",
          new='overrides: [{subject: "19", fact: homed_at, value: hcm, who: a, why: b, until: 2099-01-01}, '
              '{subject: "19", fact: homed_at, value: hn, who: a, why: b, until: 2099-01-01}]',
          code="CGC-115", line=2, says="a second time"),
]  # fmt: skip
BYTES: dict[str, tuple[bytes | None, str, int]] = {
    "not UTF-8": (b"name: rehearsal\ntitle: caf\xe9\n", "CGC-101", 2),
    "empty": (b"", "CGC-101", 1),
    "only a comment": (b"# nothing\n", "CGC-102", 1),
    "only a document's start": (b"---\n", "CGC-106", 1),
    "huge": (b"#" * (LARGEST_FILE_BYTES + 1), "CGC-101", 1),
    "not there": (None, "CGC-101", 1),
    "nested without end": (b"[" * 5000 + b"\n", "CGC-102", 1),
    "deep": (b"[" * 50 + b"]" * 50, "CGC-102", 1),
    "no text at all": (bytes(range(256)), "CGC-101", 2),
    "NUL": (b"name: a\x00b\n", "CGC-102", 1),
}
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def test_there_are_at_least_thirty() -> None:
    """The catalogue of wrong declarations does not shrink unseen."""
    assert len(WRONG) + len(BYTES) >= 30
    assert len({wrong.name for wrong in WRONG}) == len(WRONG)


def tree_of(directory: Path) -> dict[str, str]:
    """Return every file below a directory with its hash."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def refused(directory: Path, place: str, code: str, says: str) -> None:
    """Assert that both the reader and `cgc nation check` refuse the declaration at that place, and touch nothing."""
    before = tree_of(directory.parent)
    with pytest.raises(DeclarationRefusedError) as caught:
        load_nation(directory)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{place}: {code} ") and says in line for line in lines), lines
    for problem in caught.value.problems:
        assert re.fullmatch(r".+:[1-9]\d*", problem.place)
        assert problem.remedy
    result = runner.invoke(app, ["nation", "check", str(directory)], prog_name="cgc")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert result.stdout == ""
    assert caught.value.code in result.stderr
    assert caught.value.where in result.stderr
    assert caught.value.remedy in result.stderr
    assert tree_of(directory.parent) == before


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_declaration_is_refused_at_its_line(declaration: Path, wrong: Wrong) -> None:
    """The refusal names file and line of the mistake and what to do; the command ends with 2."""
    path = declaration / wrong.file
    text = path.read_text(encoding="utf-8")
    assert wrong.old in text, f"{wrong.file} no longer holds {wrong.old!r}"
    path.write_text(text.replace(wrong.old, wrong.new, 1), encoding="utf-8")
    refused(declaration, f"{declaration / (wrong.refused_in or wrong.file)}:{wrong.line}", wrong.code, wrong.says)


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_no_declaration_is_refused(declaration: Path, name: str) -> None:
    """Whatever bytes a file holds, or if it is not there: refused, never a traceback."""
    content, code, line = BYTES[name]
    path = declaration / "nation.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    refused(declaration, f"{path}:{line}", code, "")


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A mistyped directory is an input error."""
    (tmp_path / "other").mkdir()
    refused(tmp_path / "other" / "nowhere", f"{tmp_path}/other/nowhere/nation.yaml:1", "CGC-101", "no such file")


def test_a_directory_in_a_files_place_is_refused(declaration: Path) -> None:
    """What cannot be read is said to be so, and where."""
    (declaration / "tiers.yaml").unlink()
    (declaration / "tiers.yaml").mkdir()
    refused(declaration, f"{declaration}/tiers.yaml:1", "CGC-101", "cannot be read")


def test_a_base_of_no_possible_name_is_refused(declaration: Path) -> None:
    """A name too long for any file is an error like any other, never a traceback."""
    nation = declaration / "nation.yaml"
    nation.write_text(f"{nation.read_text(encoding='utf-8')}based_on: ../{'x' * 300}\n", encoding="utf-8")
    refused(declaration, f"{nation}:6", "CGC-107", "where no other declaration is")


def test_overrides_that_would_not_be_read_are_refused(declaration: Path) -> None:
    """A file that is called almost right is not passed over in silence."""
    (declaration / "overrides" / "more.yml").write_text("overrides: []\n")
    refused(declaration, f"{declaration}/overrides/more.yml:1", "CGC-101", "would not be read")


def test_all_problems_are_named_at_once(declaration: Path) -> None:
    """Whoever mends a declaration sees every mistake of a reading, not one after the other."""
    for file, old, new in (
        ("platforms.yaml", "level: 4", "level: 9"),
        ("platforms.yaml", "port: 30101", "port: 1"),
        ("clusters.yaml", "tier: cgc", "tier: x"),
    ):
        path = declaration / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DeclarationRefusedError) as caught:
        load_nation(declaration)
    assert len(caught.value.problems) == 3
    assert [Path(problem.place.rpartition(":")[0]).name for problem in caught.value.problems] == [
        "clusters.yaml",
        "platforms.yaml",
        "platforms.yaml",
    ]


def test_a_namespace_longer_than_kubernetes_allows_is_refused(declaration: Path) -> None:
    """Owner and platform together may be longer than each alone may be: that is said, and not cut silently."""
    for file, old, new in (
        ("agencies.yaml", "{id: mic,", f"{{id: {'y' * 40},"),
        ("clusters.yaml", "operator: mic", f"operator: {'y' * 40}"),
        ("clusters.yaml", "issued_by: mic", f"issued_by: {'y' * 40}"),
        ("platforms.yaml", "owner: mic", f"owner: {'y' * 40}"),
        ("platforms.yaml", "ndxp", "x" * 40),
    ):
        path = declaration / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    refused(declaration, f"{declaration}/platforms.yaml:14", "CGC-106", "has 81 characters")


def test_a_namespace_of_kubernetes_own_is_refused(declaration: Path) -> None:
    """An agency `kube` with a platform `system` would have its room where Kubernetes' own pods run."""
    for file, old, new in (
        ("agencies.yaml", "{id: bca,", "{id: kube,"),
        ("platforms.yaml", "owner: bca", "owner: kube"),
        ("platforms.yaml", "nixa", "system"),
    ):
        path = declaration / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    refused(declaration, f"{declaration}/platforms.yaml:3", "CGC-106", "'kube-system' is one of Kubernetes' own")


def test_two_platforms_in_one_namespace_are_refused(declaration: Path) -> None:
    """Agency `mic-x` with a platform `y` and agency `mic` with a platform `x-y` would share a room."""
    for file, old, new in (
        ("agencies.yaml", "{id: bca,", "{id: mic-x,"),
        ("platforms.yaml", "owner: bca", "owner: mic-x"),
        ("platforms.yaml", "nixa", "y"),
        ("platforms.yaml", "ndxp", "x-y"),
    ):
        path = declaration / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    refused(declaration, f"{declaration}/platforms.yaml:14", "CGC-110", "'mic-x-y' is that of y, too")
