"""`cgc preview`: what it counts, what it shows, whom it names, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inventories import Nation, load_nation
from inventories.errors import ExitCode
from playbooks.running import FileChange
from scripts import blast_radius
from scripts.errors import ScriptError
from scripts.previewing import Failure, NodeChange, Preview, chosen_clusters, show
from stacks.changes import FieldChange, ObjectChange, Operation, StackReport
from stacks.plugins import Plugin

RULE = ObjectChange(
    operation=Operation.UPDATE,
    api_version="networking.k8s.io/v1",
    kind="NetworkPolicy",
    namespace="mic-ndxp",
    name="allow-own-port",
    fields=(FieldChange(path="spec.ingress[0].from", before=None, after=[{"ipBlock": {"cidr": "10.64.0.0/14"}}]),),
)


@pytest.fixture(scope="module")
def nation() -> Nation:
    """Return the rehearsal's nation."""
    return load_nation(Path(__file__).parents[2] / "inventories" / "rehearsal")


def report_of(*objects: ObjectChange) -> StackReport:
    """Return a cluster's report with these objects."""
    return StackReport(
        cluster="cgc-north", plugin=Plugin.BUILT_IN, is_applied=False, objects=objects, warnings=(), seconds=1.0
    )


def test_a_change_touches_whatever_needs_its_platform(nation: Nation) -> None:
    """NDXP's wall concerns NDXP, all that need it, directly or not, and the owners of them."""
    radius = blast_radius.of_object(nation, "cgc-north", RULE)
    assert radius.platforms == ("dvcqg", "lgsp-thainguyen", "ndxp", "open-data")
    assert radius.agencies == ("mic", "ubnd-thainguyen", "vpcp")


def test_a_cluster_wide_change_touches_every_platform_of_the_cluster(nation: Nation) -> None:
    """What has no namespace holds for all of them."""
    rails = ObjectChange(
        operation=Operation.DELETE, api_version="v1", kind="ValidatingAdmissionPolicy", namespace="", name="cgc"
    )
    assert blast_radius.of_object(nation, "egc-demo", rails).platforms == ("govtech",)


def test_a_districts_router_touches_its_communes(nation: Nation) -> None:
    """Communes whose traffic can pass a node are touched by a change to it; a commune's own router touches itself."""
    assert blast_radius.of_node(nation, "district-164").communes == ("05440", "05446")
    assert blast_radius.of_node(nation, "commune-05440").communes == ("05440",)


def test_a_preview_without_changes_ends_with_zero() -> None:
    """Nothing to do is said by no exit code at all."""
    assert Preview(clusters={"cgc-north": report_of()}).exit_codes == ()


@pytest.mark.parametrize(("is_unknown", "code"), [(True, ExitCode.UNKNOWN), (False, ExitCode.FAILED)])
def test_what_could_not_be_compared_is_not_passed_over(is_unknown: bool, code: ExitCode) -> None:  # noqa: FBT001
    """Silence is unknown and a failed comparison is a failure, beside the differences that were found."""
    failure = Failure(subject="cluster/cgc-south", is_unknown=is_unknown, what="silent", remedy="look")
    assert Preview(clusters={"cgc-north": report_of(RULE)}, failures=(failure,)).exit_codes == (ExitCode.DIFFERS, code)


def test_json_has_every_field_whole(nation: Nation, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get values uncut, with whom each change touches, and the text of each file's difference."""
    file = FileChange(path="/etc/frr/frr.conf", aspects=("content",), before="a\n", after="b\n")
    node = NodeChange(node="core-a-hn", files=(file,), units=("frr.service",))
    show(nation, Preview(nodes=(node,), clusters={"cgc-north": report_of(RULE)}), as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert content["objects_to_update"] == 1
    assert content["objects"][0]["after"] == [{"ipBlock": {"cidr": "10.64.0.0/14"}}]
    assert "ndxp" in content["objects"][0]["platforms"]
    assert "-a\n+b" in content["nodes"][0]["diff"]


def test_an_unknown_cluster_is_wrong_input(nation: Nation) -> None:
    """The error names the clusters that there are."""
    with pytest.raises(ScriptError, match=r"CGC-655 .*no cluster cgc-west.*cgc-north") as refusal:
        chosen_clusters(nation, ["cgc-west"])
    assert refusal.value.exit_code is ExitCode.WRONG_INPUT
