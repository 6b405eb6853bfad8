"""What a run is given: a fact that both the command and the engine's own process know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inventories.model import Cluster, Nation


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One cluster of the nation to converge on, with the image of its platforms and the way to its API."""

    nation: Nation
    cluster: Cluster
    image: str
    kubeconfig: Path
