"""Bring a node's interfaces up with exactly the addresses that are declared; run at boot and after a change.

Reads JSON {interface: ["address/length", …]}. An address of global scope that is not declared is taken away from the
interfaces that are named, and from no other. Standard library only: it runs on the node.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def commands(wanted: Mapping[str, Iterable[str]], present: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of an `ip -batch` that lead from what is present (`ip -json address`) to what is wanted."""
    lines = []
    found = {interface["ifname"]: interface for interface in present}
    for name in wanted:
        interface = found.get(name)
        if interface is None:
            sys.stderr.write(f"{name}: there is no such interface\n")
            continue
        has = {
            f"{address['local']}/{address['prefixlen']}"
            for address in interface["addr_info"]
            if address["scope"] == "global"
        }
        needs = set(wanted[name])
        lines += [f"address del {address} dev {name}" for address in sorted(has - needs)]
        lines += [f"address add {address} dev {name}" for address in sorted(needs - has)]
        if "UP" not in interface["flags"]:
            lines.append(f"link set dev {name} up")
    return lines


def main(path: str) -> int:
    """Make it so; the exit code is 1 if an interface is missing or a command failed."""
    wanted = json.loads(Path(path).read_text(encoding="utf-8"))
    shown = subprocess.run(["ip", "-json", "address", "show"], capture_output=True, text=True, check=True)
    present = json.loads(shown.stdout)
    lines = commands(wanted, present)
    done = subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=False)
    is_missing = not set(wanted) <= {interface["ifname"] for interface in present}
    return 1 if done.returncode or is_missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
