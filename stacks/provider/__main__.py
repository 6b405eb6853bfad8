"""`python -m stacks.provider ENGINE_ADDRESS`: the plugin process that the Pulumi engine starts.

It prints its port, serves until the engine closes it with SIGINT, and does not outlive a killed engine.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from stacks.provider.servicer import KubernetesProvider

_THREADS = 32  # calls wait for clusters, not for the processor: 1 thread took four times as long at 100 ms per request
_LARGEST_MESSAGE_BYTES = 400 * 1024 * 1024  # the engine's own limit (sdk/go/common/util/rpcutil)
_GRACE_SECONDS = 30.0  # for calls under way; the engine itself waits 5 s before it kills
_PARENT_CHECK_SECONDS = 1.0
_CLOSING_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the engine closes plugins with SIGINT


def main() -> None:
    """Serve until SIGINT or SIGTERM, or until the parent process is gone."""
    parent = os.getppid()
    # Before any thread is made, so that all inherit the mask and the signals wait for this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _CLOSING_SIGNALS)
    options = [
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE_BYTES),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(KubernetesProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    signal.sigwait(_CLOSING_SIGNALS)
    server.stop(_GRACE_SECONDS).wait()
    os._exit(0)  # a thread that waits for a cluster must not keep the process: the engine waits for its end


def _die_with(parent: int) -> None:
    """Leave when the engine was killed: an orphan would go on writing to the cluster."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
