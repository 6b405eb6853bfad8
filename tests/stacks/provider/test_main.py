from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

COMMAND = [sys.executable, "-P", "-m", "stacks.provider", "127.0.0.1:1"]


def test_serves_on_the_printed_port_and_leaves_on_sigint() -> None:
    """The engine reads the port, calls, and closes with SIGINT; a plugin that ignores it costs 5 s per command."""
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            answer = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty(), timeout=10)
        assert answer.version == "4.32.0"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - started < 3


@pytest.mark.slow
def test_dies_with_the_engine(tmp_path: Path) -> None:
    """When the engine is killed its provider goes too, instead of writing on to the cluster."""
    port_file = tmp_path / "port"
    script = f"import subprocess; subprocess.run({COMMAND!r}, stdout=open({str(port_file)!r}, 'w'))"
    with subprocess.Popen([sys.executable, "-c", script]) as engine:
        give_up = time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().strip()):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(engine.pid)], check=True, capture_output=True, text=True
        )
        provider = int(listing.stdout)
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
        while Path(f"/proc/{provider}").exists():
            assert time.monotonic() < give_up + 10
            time.sleep(0.05)
