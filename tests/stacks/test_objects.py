"""The cluster manifest: what every cluster must have, for any platform that can be declared."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from inventories.labels import Label, agency_group, managed
from inventories.model import Nation, Platform, Share, Text, Tier
from stacks.errors import StackError
from stacks.objects import cluster_manifest, identity_of, registry_of
from stacks.quantities import cpu
from stacks.tenancy_objects import POD_SECURITY_VERSION

IMAGE = "registry.rehearsal.test/cgc/platform-standin:0a1b2c"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
IDENTIFIERS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
TEXTS = st.builds(Text, vi=st.text(min_size=1, max_size=40), en=st.text(min_size=1, max_size=40))
ONE_ACCEPTED_NATION = [HealthCheck.function_scoped_fixture]  # the nation is frozen: no example can change it


@st.composite
def platforms(draw: st.DrawFn) -> Platform:
    """Any platform that a declaration may hold, on cgc-north, needing nixa or nothing."""
    platform = Platform(
        id=draw(IDENTIFIERS),
        ref="IV.3",
        name=draw(TEXTS),
        owner="mic",
        tier=Tier.CGC,
        level=draw(st.integers(1, 5)),
        clusters=("cgc-north",),
        replicas=draw(st.integers(1, 100)),
        share=Share(
            cpu_millicores=draw(st.integers(10, 1_000_000)),
            memory_mib=draw(st.integers(16, 10_000_000)),
            pods=draw(st.integers(1, 10_000)),
        ),
        port=draw(st.integers(30_000, 32_767)),
        objective="round-the-clock",
        needs=draw(st.sampled_from([(), ("nixa",), ("nixa", "lgsp-thainguyen")])),
    )
    assume(platform.fits_its_share)  # a declaration is refused otherwise
    return platform


def manifest_with(nation: Nation, platform: Platform) -> tuple[dict[str, Any], ...]:
    """Return the manifest of cgc-north with one platform more."""
    others = tuple(each for each in nation.platforms if each.id != platform.id)
    larger = replace(nation, platforms=(*others, platform))
    return cluster_manifest(larger, larger.cluster_by_id["cgc-north"], image=IMAGE)


def of_kind(manifest: tuple[dict[str, Any], ...], kind: str, namespace: str = "") -> list[dict[str, Any]]:
    """Return the objects of a kind, in one namespace if it is given."""
    return [
        each
        for each in manifest
        if each["kind"] == kind and (not namespace or each["metadata"].get("namespace") == namespace)
    ]


def named(manifest: tuple[dict[str, Any], ...], kind: str, name: str, namespace: str) -> dict[str, Any]:
    """Return the one object of this kind and name."""
    (found,) = [each for each in of_kind(manifest, kind, namespace) if each["metadata"]["name"] == name]
    return found


def label_maps(value: Any) -> Iterator[Mapping[str, str]]:
    """Every map of labels anywhere in an object."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in {"labels", "matchLabels"}:
                yield member
            yield from label_maps(member)
    elif isinstance(value, list):
        for member in value:
            yield from label_maps(member)


@pytest.fixture(scope="session")
def north(nation: Nation) -> tuple[dict[str, Any], ...]:
    """Return the manifest of cgc-north."""
    return cluster_manifest(nation, nation.cluster_by_id["cgc-north"], image=IMAGE)


@settings(suppress_health_check=ONE_ACCEPTED_NATION, deadline=None)
@given(platform=platforms())
def test_any_platform_gives_objects_that_kubernetes_accepts(nation: Nation, platform: Platform) -> None:
    """Names and labels keep to the rules, no two objects are one, and a namespace comes before its content."""
    manifest = manifest_with(nation, platform)
    assert max(Counter(identity_of(each) for each in manifest).values()) == 1
    seen: set[str] = set()
    for each in manifest:
        metadata = each["metadata"]
        assert NAME.fullmatch(metadata["name"])
        if "namespace" in metadata:
            assert metadata["namespace"] in seen
        if each["kind"] == "Namespace":
            seen.add(metadata["name"])
        for labels in label_maps(each):
            for key, value in labels.items():
                assert LABEL_KEY.fullmatch(key)
                assert LABEL_VALUE.fullmatch(value)
    assert json.loads(json.dumps(manifest)) == list(manifest)


@settings(suppress_health_check=ONE_ACCEPTED_NATION, deadline=None)
@given(platform=platforms())
def test_all_replicas_and_a_roll_out_fit_into_the_share(nation: Nation, platform: Platform) -> None:
    """What a platform's pods may use together, the roll-out's additional one included, is within its quota."""
    manifest = manifest_with(nation, platform)
    spec = named(manifest, "Deployment", platform.id, platform.namespace)["spec"]
    surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
    assert surge + spec["strategy"]["rollingUpdate"]["maxUnavailable"] >= 1
    assert platform.replicas + surge <= platform.share.pods
    limit = spec["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    assert any(
        cpu(each) == limit for each in range(1, platform.share.cpu_millicores // (platform.replicas + surge) + 1)
    )


@pytest.mark.parametrize("image", ["platform-standin", "cgc/platform-standin:1", "r.test/cgc/x", "r.test/cgc/x:", ""])
def test_an_image_without_registry_or_version_is_refused(image: str) -> None:
    """What runs must be told apart by where it came from and which version it is."""
    with pytest.raises(StackError, match="CGC-252"):
        registry_of(image)


def test_registry_of_an_image() -> None:
    """The registry is the host with its port."""
    assert registry_of("r.example.test:5000/a/b:1") == "r.example.test:5000"
    assert registry_of("r.example.test/a@sha256:00ff") == "r.example.test"


def test_every_platform_of_the_cluster_has_its_room(nation: Nation, north: tuple[dict[str, Any], ...]) -> None:
    """One namespace for each tenancy, saying whose it is, and under the strictest Pod Security profile."""
    rooms = {each["metadata"]["name"]: each["metadata"] for each in of_kind(north, "Namespace")}
    assert set(rooms) == {"bca-nixa", "mic-ndxp", "vpcp-dvcqg", "vpcp-document-axis"}
    room = rooms["bca-nixa"]
    for mode in ("enforce", "audit", "warn"):
        assert room["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert room["labels"][f"pod-security.kubernetes.io/{mode}-version"] == POD_SECURITY_VERSION
    assert room["labels"]["cgc.dientap.test/agency"] == "bca"
    assert room["labels"]["cgc.dientap.test/level"] == "4"
    assert room["annotations"]["cgc.dientap.test/contact"] == nation.agency_by_id["bca"].contact


def test_the_pod_security_version_is_the_clusters_own() -> None:
    """The profile's version is pinned to the Kubernetes that the toolchain installs."""
    from scripts.toolchain.programs import KUBERNETES_VERSION  # noqa: PLC0415 - what only this test compares

    assert f"v{KUBERNETES_VERSION.rpartition('.')[0]}" == POD_SECURITY_VERSION


def test_nothing_passes_a_rooms_walls_but_what_is_declared(nation: Nation, north: tuple[dict[str, Any], ...]) -> None:
    """Both directions are closed; DNS, the platform's own port, and its declared dependencies are the only ways."""
    walls = {each["metadata"]["name"]: each["spec"] for each in of_kind(north, "NetworkPolicy", "mic-ndxp")}
    assert set(walls) == {"default-deny", "allow-dns", "allow-own-port", "allow-dependencies"}
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    assert walls["default-deny"] == closed
    (incoming,) = walls["allow-own-port"]["ingress"]
    assert incoming["ports"] == [{"protocol": "TCP", "port": 8080}]
    for source in incoming["from"]:
        prefix = ip_network(source["ipBlock"]["cidr"])
        family = [ip_network(getattr(each, f"ipv{prefix.version}")) for each in nation.prefixes]
        assert any(inside.subnet_of(prefix) for inside in family)  # type: ignore[arg-type] # one family by construction


def test_dependencies_are_reached_in_both_families_and_nothing_else(
    nation: Nation, north: tuple[dict[str, Any], ...]
) -> None:
    """Egress goes to exactly the dependencies' endpoints, each as one IPv4 and one IPv6 address, at their port."""
    rules = named(north, "NetworkPolicy", "allow-dependencies", "mic-ndxp")["spec"]["egress"]
    blocks = {
        (to["ipBlock"]["cidr"], port["port"])
        for rule in rules
        for to in rule["to"]
        if "ipBlock" in to
        for port in rule["ports"]
    }
    expected = {
        (f"{address}/{length}", endpoint.port)
        for need in ("nixa", "lgsp-thainguyen")
        for endpoint in nation.endpoints_of(nation.platform_by_id[need])
        for address, length in ((endpoint.addresses.ipv4, 32), (endpoint.addresses.ipv6, 128))
    }
    assert blocks == expected
    to_pods = [to for rule in rules for to in rule["to"] if "ipBlock" not in to]
    assert to_pods == [{"namespaceSelector": {"matchLabels": {Label.PLATFORM.on(nation): "nixa"}}}]


def test_a_platform_without_dependencies_has_no_way_out(north: tuple[dict[str, Any], ...]) -> None:
    """No empty allow rule stands where there is nothing to allow."""
    names = {each["metadata"]["name"] for each in of_kind(north, "NetworkPolicy", "bca-nixa")}
    assert names == {"default-deny", "allow-dns", "allow-own-port"}


def test_nobody_of_ours_may_read_secrets(north: tuple[dict[str, Any], ...]) -> None:
    """Neither an agency's people nor the observer have any right on secrets, nor a wildcard that would include them."""
    rules = [rule for kind in ("Role", "ClusterRole") for each in of_kind(north, kind) for rule in each["rules"]]
    assert rules
    for rule in rules:
        assert not {"secrets", "*"} & set(rule.get("resources", ()))
        assert set(rule["verbs"]) <= {"get", "list", "watch"}


def test_an_agencys_people_see_their_own_rooms_only(nation: Nation, north: tuple[dict[str, Any], ...]) -> None:
    """Each room's binding names the group of the agency that owns it."""
    for binding in of_kind(north, "RoleBinding"):
        agency = nation.agency_by_id[binding["metadata"]["labels"]["cgc.dientap.test/agency"]]
        assert [subject["name"] for subject in binding["subjects"]] == [agency_group(agency)]


def test_pods_are_as_restricted_as_their_profile_asks(north: tuple[dict[str, Any], ...]) -> None:
    """Not root, nothing added, nothing written, no token, no address injected, and a priority by level."""
    for deployment in of_kind(north, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["priorityClassName"] == "cgc-level-4"
        assert container["image"] == IMAGE
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_service_answers_in_both_families_at_its_declared_port(
    nation: Nation, north: tuple[dict[str, Any], ...]
) -> None:
    """IPv6 parity is required of the cluster, not hoped for."""
    for service in of_kind(north, "Service"):
        platform = nation.platform_by_id[service["metadata"]["name"]]
        assert service["spec"]["ipFamilyPolicy"] == "RequireDualStack"
        assert service["spec"]["ports"][0]["nodePort"] == platform.port


def test_a_budget_stands_only_where_a_pod_can_be_spared(north: tuple[dict[str, Any], ...]) -> None:
    """With one replica a disruption budget would only stop every drain."""
    assert [each["metadata"]["name"] for each in of_kind(north, "PodDisruptionBudget")] == ["nixa"]


def test_new_configuration_means_new_pods(nation: Nation) -> None:
    """Pods read their configuration when they start, so a change in it changes their template."""

    def template(change: Platform) -> Any:
        return named(manifest_with(nation, change), "Deployment", "ndxp", "mic-ndxp")["spec"]["template"]

    platform = nation.platform_by_id["ndxp"]
    renamed = replace(platform, name=Text(vi="Tên khác", en="Another name"))
    assert template(platform) == template(platform)
    assert template(platform)["metadata"]["annotations"] != template(renamed)["metadata"]["annotations"]


def test_admission_holds_for_managed_namespaces_and_the_declared_registry(
    nation: Nation, north: tuple[dict[str, Any], ...]
) -> None:
    """The policy denies, for namespaces that carry our label, and names the registry that images come from."""
    (policy,), (binding,) = (
        of_kind(north, "ValidatingAdmissionPolicy"),
        of_kind(north, "ValidatingAdmissionPolicyBinding"),
    )
    assert policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"] == dict(managed(nation))
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert any("registry.rehearsal.test/" in each["expression"] for each in policy["spec"]["validations"])
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_the_manifest_is_the_callers_own(nation: Nation) -> None:
    """Changing what was returned changes no other object and no later answer."""
    cluster = nation.cluster_by_id["egc-demo"]
    first = cluster_manifest(nation, cluster, image=IMAGE)
    before = json.dumps(first[1:])
    first[0]["metadata"]["labels"]["edited"] = "yes"
    assert json.dumps(first[1:]) == before
    assert cluster_manifest(nation, cluster, image=IMAGE)[0] != first[0]
