"""Rounds of reading behind the scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from exporters.rounds import Rounds


class Clock:
    """A clock that tests set, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def rounds_of(clock: Clock, read: Callable[[], Awaitable[int]]) -> Rounds[int]:
    """Return rounds of ten seconds whose results live forty."""
    return Rounds(read, interval_seconds=10, clock=clock, jitter=lambda: 0.5)


def test_before_the_first_round_there_is_nothing() -> None:
    """No value, no age."""

    async def read() -> int:
        return 1

    reading = rounds_of(Clock(), read).reading()
    assert (reading.value, reading.age_seconds, reading.limit_seconds) == (None, None, 40)


def test_a_result_is_dropped_when_it_is_too_old() -> None:
    """At the limit it still counts, after it only its age is known."""
    clock = Clock()

    async def read() -> int:
        return 7

    rounds = rounds_of(clock, read)
    asyncio.run(rounds.once())
    clock.seconds = 40
    assert rounds.reading().value == 7
    clock.seconds = 40.1
    assert rounds.reading().value is None
    assert rounds.reading().age_seconds == pytest.approx(40.1)


def test_the_age_counts_from_the_rounds_beginning() -> None:
    """What a long round read first is as old as the round is long."""
    clock = Clock()

    async def read() -> int:
        clock.seconds += 30
        return 7

    rounds = rounds_of(clock, read)
    asyncio.run(rounds.once())
    assert rounds.reading().age_seconds == 30
    assert rounds.reading().duration_seconds == 30


def test_a_failed_round_is_counted_and_leaves_the_last_result_to_grow_old() -> None:
    """A round that raises neither ends the exporter nor makes its last result look young."""
    clock = Clock()
    answers = iter((7,))

    async def read() -> int:
        return next(answers)

    async def both() -> None:
        await rounds.once()
        clock.seconds = 10
        try:
            await rounds.once()
        except RuntimeError as err:  # StopIteration inside a coroutine
            pytest.fail(str(err))

    rounds = rounds_of(clock, read)
    asyncio.run(both())
    reading = rounds.reading()
    assert (reading.value, reading.age_seconds, reading.rounds, reading.failures) == (7, 10, 2, 1)


def test_rounds_go_on_until_cancelled() -> None:
    """A next round begins by itself, also after one that failed."""
    seen: list[int] = []
    went_on = asyncio.Event()

    async def read() -> int:
        seen.append(len(seen))
        if len(seen) == 2:
            raise OSError("once")
        if len(seen) == 4:
            went_on.set()
        return len(seen)

    async def for_a_while() -> None:
        task = asyncio.ensure_future(Rounds(read, interval_seconds=0.01).run())
        await went_on.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(for_a_while(), 5))
