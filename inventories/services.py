"""What listens on the nodes, and the agent that answers for one: shared by the rooms that render, observe and serve."""

from __future__ import annotations

from enum import StrEnum

SSH_PORT = 22
DNS_PORT = 53
API_PORT = 6443  # of a cluster's Kubernetes API
NODE_EXPORTER_PORT = 9100
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093

LIBRARY = "/usr/local/lib/cgc"  # our programs on every node
NODE_AGENT = f"{LIBRARY}/node_agent.py"


def agent_command(question: str) -> str:
    """Return what to run on a node to ask its agent a question (see playbooks/node_agent.py: QUESTIONS)."""
    return f"/usr/bin/python3 {NODE_AGENT} {question}"


class Service(StrEnum):
    """What `cgc serve` serves at the operations centre; each has a port of its own."""

    UPTIME = "uptime"
    NETWORK = "network"
    PLATFORMS = "platforms"
    FINDINGS = "findings"
    ALERTS = "alerts"

    @property
    def port(self) -> int:
        """The port it is served on unless told otherwise."""
        return 9801 + list(Service).index(self)


OPERATIONS_CENTRE_PORTS = frozenset({PROMETHEUS_PORT, ALERTMANAGER_PORT, *(service.port for service in Service)})
