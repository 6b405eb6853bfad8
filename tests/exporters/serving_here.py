"""Run a served application in a thread of its own, on this machine's loopback, for the length of a block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from exporters.serving import Admission, TlsMaterial, listen, serve, tls_context

BEGIN_SECONDS = 10


@contextmanager
def served(
    application: ASGIApp,
    material: TlsMaterial,
    *,
    admission: Admission | None = None,
    patience_seconds: float = 5.0,
) -> Iterator[int]:
    """Serve over TLS; gives the port."""
    admitted = admission or Admission()
    sockets = listen((("127.0.0.1", 0),))
    port: int = sockets[0].getsockname()[1]
    sockets[0].listen()
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[None]] = []
    begun = threading.Event()

    async def run() -> None:
        task = asyncio.ensure_future(
            serve(
                application,
                sockets=sockets,
                admission=admitted,
                tls=tls_context(material, admitted),
                patience_seconds=patience_seconds,
                farewell_seconds=0,
            )
        )
        tasks.append(task)
        begun.set()
        await asyncio.wait([task])

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert begun.wait(BEGIN_SECONDS)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join(BEGIN_SECONDS)
        loop.close()
