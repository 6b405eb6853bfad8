"""`launching.py REPORT PROGRAM ARGUMENT…`: run a program and write its wall seconds and peak memory into a file."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

if __name__ == "__main__":
    began = time.monotonic()
    code = subprocess.call(sys.argv[2:])
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open(sys.argv[1], "w", encoding="ascii") as report:  # noqa: PTH123 - pathlib would add to what it measures
        json.dump({"seconds": seconds, "peak_kib": peak}, report)
    sys.exit(code)
