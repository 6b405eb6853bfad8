"""What the uptime collector shows of the prober's outcomes."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from exporters.probing import Outcome, Probe, targets_of
from exporters.uptime import UptimeCollector
from inventories.model import Nation
from tests.exporters.world import AT, VANTAGE, World, outcome


def registry_of(nation: Nation, outcomes: tuple[Outcome, ...]) -> CollectorRegistry:
    """Return a registry that shows these outcomes."""
    targets = targets_of(nation, vantage=nation.node_by_name[VANTAGE])
    registry = CollectorRegistry()
    registry.register(UptimeCollector(targets, vantage=VANTAGE, source=lambda: outcomes))
    return registry


def labels_of(outcome_shown: Outcome, **more: str) -> dict[str, str]:
    """Return the labels of an outcome's samples."""
    target = outcome_shown.target
    return {
        "probe": target.probe,
        "family": target.family,
        "subject": target.subject,
        "node": target.node,
        "platform": target.platform,
        "cluster": target.cluster,
        "tier": target.tier,
        "vantage": VANTAGE,
        **more,
    }


def test_a_failed_probe_is_down_with_its_reason_and_without_a_total(nation: Nation) -> None:
    """A failure shows 0 and why; the time until a failure is no service time."""
    target = next(one.target for one in World(nation=nation).outcomes() if one.target.probe is Probe.HTTP)
    failed = outcome(target, "refused")
    registry = registry_of(nation, (failed,))
    assert registry.get_sample_value("cgc_probe_up", labels_of(failed)) == 0
    assert registry.get_sample_value("cgc_probe_failure", labels_of(failed, reason="refused")) == 1
    assert registry.get_sample_value("cgc_probe_phase_seconds", labels_of(failed, phase="total")) is None


def test_a_target_without_an_outcome_is_counted_and_not_invented(nation: Nation) -> None:
    """What was not probed, or too long ago, is absent; how many such targets there are is told."""
    outcomes = World(nation=nation).outcomes()
    registry = registry_of(nation, outcomes[1:])
    assert registry.get_sample_value("cgc_probe_up", labels_of(outcomes[0])) is None
    assert registry.get_sample_value("cgc_probe_targets_without_outcome", {"vantage": VANTAGE}) == 1
    assert registry.get_sample_value("cgc_probe_targets", {"vantage": VANTAGE}) == len(outcomes)


def test_a_certificates_expiry_is_shown_even_of_a_failed_probe(nation: Nation) -> None:
    """When an expired certificate makes the probe fail, one still sees when it expired."""
    target = next(one.target for one in World(nation=nation).outcomes() if one.target.probe is Probe.TLS)
    failed = replace(outcome(target, "certificate: certificate has expired"), certificate_expires_at=AT)
    registry = registry_of(nation, (failed,))
    name = "cgc_probe_certificate_expiry_timestamp_seconds"
    assert registry.get_sample_value(name, labels_of(failed)) == AT.timestamp()


def test_every_platform_is_probed_at_every_endpoint_in_both_families(nation: Nation) -> None:
    """The targets are the declaration's: no endpoint without IPv4 and IPv6, no node without both pings."""
    targets = targets_of(nation, vantage=nation.node_by_name[VANTAGE])
    asked = {(target.platform, target.cluster, target.family) for target in targets if target.probe is Probe.HTTP}
    assert asked == {
        (platform.id, cluster, family)
        for platform in nation.platforms
        for cluster in platform.clusters
        for family in ("ipv4", "ipv6")
    }
    pinged = {(target.node, target.family) for target in targets if target.probe is Probe.ICMP}
    assert len(pinged) == 2 * (len(nation.nodes) - 1)
    assert {target.probe for target in targets} == set(Probe)
