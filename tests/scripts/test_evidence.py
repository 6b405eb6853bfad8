"""Evidence: what was acknowledged stays, what was changed is found and located, and a crash is not a change."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import evidence_verifier
from scripts.evidence import Draft, EvidenceError, EvidenceLog, create_or_load_key, open_log
from scripts.evidence_verifier import (
    ENTRY_TYPE,
    Anchor,
    Tampering,
    Verification,
    canonical,
    pre_authentication_encoding,
    signed_bytes,
    time_of,
    time_text,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
START = datetime(2031, 9, 30, 8, 15, tzinfo=UTC)
VERIFIER = Path(evidence_verifier.__file__)


class TickingClock:
    """A clock that advances one second each time it is read."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """Return the next second."""
        self.now += timedelta(seconds=1)
        return self.now


def new_log(directory: Path, *, key: Ed25519PrivateKey = KEY, start: datetime = START) -> EvidenceLog:
    """Open the log of a directory with a clock that ticks."""
    return EvidenceLog(directory / "log.jsonl", key, clock=TickingClock(start))


def lines_of(directory: Path, *, entries: int, key: Ed25519PrivateKey = KEY, start: datetime = START) -> list[bytes]:
    """Seal some entries and return the lines of the log."""
    log = new_log(directory, key=key, start=start)
    log.append_many([Draft(kind="converge", actor="lan@noc", body={"run": n, "s": 1.5}) for n in range(entries)])
    return log.path.read_bytes().splitlines(keepends=True)


def resigned(line: bytes, signer: Ed25519PrivateKey = KEY, **changes: object) -> bytes:
    """Return the entry with members changed and signed anew, as only the holder of the key can do."""
    members = {**json.loads(line), **changes}
    members["signature"] = base64.b64encode(signer.sign(signed_bytes(ENTRY_TYPE, members))).decode()
    return canonical(members) + b"\n"


def check(
    content: bytes, *, head: bytes | None = None, anchors: list[Anchor] | None = None, key: Ed25519PrivateKey = KEY
) -> Verification:
    """Verify a log with the public half of the key."""
    return verify(BytesIO(content), [key.public_key()], head=head, anchors=anchors or [])


def found(result: Verification) -> tuple[Tampering, int] | None:
    """Return what is wrong, and in which line."""
    return (result.problem.what, result.problem.line) if result.problem else None


# ── The encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "text"),
    [  # RFC 8785 appendix B, by their IEEE 754 values
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (1.0000000000000001e23, "1.0000000000000001e+23"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (0.000001, "0.000001"),
        (333333333.33333325, "333333333.33333325"),
        (-0.0000033333333333333333, "-0.0000033333333333333333"),
        (1424953923781206.2, "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_rfc_8785_says(value: float, text: str) -> None:
    """The samples of RFC 8785 appendix B come out as printed there."""
    assert canonical(value).decode() == text


def test_objects_are_written_as_rfc_8785_says() -> None:
    """The samples of RFC 8785 §3.2.2 and §3.2.3 (order by UTF-16 code units) come out as printed there."""
    sample = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "string": '€$\u000f\nA\'B"\\\\"/'}
    assert canonical(sample).decode() == (
        '{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(names, 0)))) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
@settings(deadline=None)
def test_any_json_value_has_one_form_and_keeps_its_meaning(value: object) -> None:
    """What is read back from the canonical form (numbers as I-JSON doubles) equals what was written."""
    assert json.loads(canonical(value), parse_int=evidence_verifier._integer) == value


@given(JSON_VALUES)
@settings(max_examples=40, deadline=None)
def test_any_json_value_can_be_sealed_and_verified(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """A body of any JSON value makes an entry that verifies: writer and verifier agree on the form."""
    log = new_log(tmp_path_factory.mktemp("log"))
    log.append(kind="judge", actor="máy chủ", body=value)
    assert check(log.path.read_bytes()).verified


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {1: 2}, object(), b"", START])
def test_a_body_without_json_form_is_refused(tmp_path: Path, value: object) -> None:
    """NaN, integers that a reader would round, half letters and foreign types: CGC-608, and nothing is written."""
    log = new_log(tmp_path)
    with pytest.raises(EvidenceError, match="CGC-608"):
        log.append(kind="judge", actor="lan", body={"v": value})
    assert log.path.read_bytes() == b""


def test_what_is_signed_is_the_encoding_of_dsse() -> None:
    """The sample of DSSE's protocol.md."""
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


# ── Sealing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_entries_are_chained_and_returned_as_written(tmp_path: Path) -> None:
    """Each entry names the SHA-256 of the whole line before it, and the returned entry is the one in the file."""
    log = new_log(tmp_path)
    first = log.append(kind="converge", actor="lan@noc", body={"changed": 0})
    second = log.append(kind="fault", actor="minh@noc", body=None, at=START + timedelta(hours=1))
    lines = log.path.read_bytes().splitlines(keepends=True)
    assert [first.sequence, second.sequence] == [1, 2]
    assert first.previous == "0" * 64
    assert second.previous == first.digest == hashlib.sha256(lines[0]).hexdigest()
    assert time_of(second.at) == START + timedelta(hours=1)
    assert log.last() == Anchor(sequence=2, digest=second.digest)
    result = check(log.path.read_bytes(), head=log.head_path.read_bytes())
    assert (result.verified, result.entries, result.head_sequence) == (True, 2, 2)


def test_a_clock_that_went_back_does_not_lose_evidence(tmp_path: Path) -> None:
    """The entry repeats the time before it and says what the clock read; the log verifies."""
    first = new_log(tmp_path).append(kind="converge", actor="lan", body=1)
    late = new_log(tmp_path, start=START - timedelta(days=2)).append(kind="fault", actor="lan", body="skew")
    assert late.at == first.at
    assert late.clock == time_text(START + timedelta(seconds=1) - timedelta(days=2))
    assert check((tmp_path / "log.jsonl").read_bytes()).verified


@pytest.mark.parametrize("at", [START - timedelta(seconds=1), datetime(2031, 9, 30, 9)])  # noqa: DTZ001 - the point
def test_a_given_time_is_not_dated_back(tmp_path: Path, at: datetime) -> None:
    """A time before the last entry's, or without a zone, is refused: CGC-606."""
    log = new_log(tmp_path)
    log.append(kind="converge", actor="lan", body=1, at=START)
    with pytest.raises(EvidenceError, match="CGC-606"):
        log.append(kind="converge", actor="lan", body=2, at=at)


@pytest.mark.parametrize("kind", ["", "Converge", "two words", "x" * 33, "a\n"])
def test_a_kind_is_a_short_word(tmp_path: Path, kind: str) -> None:
    """Kinds that could not be searched for are refused."""
    with pytest.raises(EvidenceError, match="CGC-608"):
        new_log(tmp_path).append(kind=kind, actor="lan", body=1)


def append_five(directory: Path) -> None:
    """Append five entries."""
    log = EvidenceLog(directory / "log.jsonl", KEY)
    for number in range(5):
        log.append(kind="day", actor="t", body=number)


def test_appenders_take_turns(tmp_path: Path) -> None:
    """Four processes with three threads each append at once: every entry is there, in one chain."""
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            threads = [threading.Thread(target=append_five, args=(tmp_path,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    result = check((tmp_path / "log.jsonl").read_bytes(), head=(tmp_path / "head.json").read_bytes())
    assert (result.verified, result.entries, result.head_sequence) == (True, 60, 60)


def test_a_log_held_by_a_stopped_process_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The appender does not wait for ever: CGC-607 names the file."""
    monkeypatch.setattr("scripts.evidence.LOCK_PATIENCE_SECONDS", 0.05)
    log = new_log(tmp_path)
    with log._locked(), pytest.raises(EvidenceError, match="CGC-607") as refused:
        new_log(tmp_path).append(kind="day", actor="t", body=1)
    assert refused.value.where == str(log.path)


# ── Crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_torn_line_is_cut_off_at_whatever_byte(tmp_path: Path) -> None:
    """Killed after any number of bytes of the third line: the next append keeps two, says what it cut, and goes on."""
    log = new_log(tmp_path)
    log.append_many([Draft(kind="converge", actor="lan", body=n) for n in range(2)])
    head, whole = log.head_path.read_bytes(), log.path.read_bytes()
    log.append(kind="converge", actor="lan", body=2)
    third = log.path.read_bytes()[len(whole) :]
    for cut in range(1, len(third)):
        log.path.write_bytes(whole + third[:cut])
        log.head_path.write_bytes(head)
        log.append(kind="converge", actor="lan", body="after")
        content = log.path.read_bytes()
        assert content.startswith(whole)
        added = [json.loads(line) for line in content[len(whole) :].splitlines()]
        assert [entry["kind"] for entry in added] == ["repair", "converge"]
        assert added[0]["body"]["cut_bytes"] == cut
        assert check(content, head=log.head_path.read_bytes()).verified


def test_a_torn_line_that_was_acknowledged_is_not_repaired(tmp_path: Path) -> None:
    """If the head knows the entry whose line does not end, someone cut it: refused (CGC-604), the file left alone."""
    log = new_log(tmp_path)
    log.append_many([Draft(kind="converge", actor="lan", body=n) for n in range(2)])
    whole = log.path.read_bytes()
    for cut in range(1, 200):
        log.path.write_bytes(whole[:-cut])
        with pytest.raises(EvidenceError, match="CGC-604"):
            log.append(kind="converge", actor="lan", body=3)
        assert log.path.read_bytes() == whole[:-cut]


def test_a_log_killed_before_its_head_was_replaced_goes_on(tmp_path: Path) -> None:
    """The log may be one append (of any size) ahead of its head, with a staged head left over."""
    log = new_log(tmp_path)
    log.append(kind="converge", actor="lan", body=1)
    head = log.head_path.read_bytes()
    log.append_many([Draft(kind="converge", actor="lan", body=n) for n in range(3)])
    log.head_path.write_bytes(head)
    (tmp_path / "head.json.new").write_bytes(b"{half a he")
    assert check(log.path.read_bytes(), head=head).verified
    assert log.append(kind="converge", actor="lan", body=9).sequence == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "log.jsonl"]


def test_a_log_killed_before_its_first_entry_starts(tmp_path: Path) -> None:
    """An empty log with or without its head, or a torn first line, is a log without entries."""
    for content in (b"", b'{"actor":'):
        log = new_log(tmp_path)
        log.path.write_bytes(content)
        log.head_path.unlink(missing_ok=True)
        assert log.append(kind="day", actor="t", body=1).body == 1
        assert check(log.path.read_bytes(), head=log.head_path.read_bytes()).verified


def append_until_killed(directory: Path, acknowledgements: int, seed: int) -> None:
    """Append for ever, and tell the sequence of each entry that was acknowledged."""
    log = EvidenceLog(directory / "log.jsonl", KEY)
    chance = random.Random(seed)  # noqa: S311 - sizes of bodies
    while True:
        entry = log.append(kind="converge", actor="lan", body="x" * chance.randrange(20_000))
        os.write(acknowledgements, b"%d\n" % entry.sequence)


def kill_at_random(directory: Path, *, rounds: int, seed: int = 7) -> None:
    """Kill an appender at a random moment, then check what is there; so many times."""
    chance = random.Random(seed)  # noqa: S311 - moments of death
    acknowledged = 0
    for number in range(rounds):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            append_until_killed(directory, writer, number)
        os.close(writer)
        time.sleep(chance.uniform(0.001, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as lines:
            acknowledged = max([acknowledged, *map(int, lines)])
        new_log(directory).append(kind="day", actor="t", body=number)
        content, head = (directory / "log.jsonl").read_bytes(), (directory / "head.json").read_bytes()
        result = check(content, head=head)
        assert result.problem is None, result.problem
        assert result.entries > acknowledged
        acknowledged = result.entries


def test_kill_minus_nine_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    """Killed at random moments, twenty times: whatever was acknowledged is there, and the log verifies and goes on."""
    kill_at_random(tmp_path, rounds=20)


@pytest.mark.slow
def test_kill_minus_nine_a_thousand_times(tmp_path: Path) -> None:
    """The same at a thousand moments, in logs of twenty rounds each."""
    for part in range(50):
        kill_at_random(tmp_path / str(part), rounds=20, seed=part)


def test_a_disk_that_fills_up_is_reported_and_leaves_the_log_whole(tmp_path: Path) -> None:
    """The write stops in the middle of a line (here by a limit on file size): CGC-605, the log is as before."""
    log = new_log(tmp_path)
    log.append(kind="converge", actor="lan", body=1)
    before = log.path.read_bytes(), log.head_path.read_bytes()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) + 1000, resource.RLIM_INFINITY))
        try:
            log.append(kind="converge", actor="lan", body="x" * 5000)
        except EvidenceError as err:
            os._exit(42 if err.code == "CGC-605" else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert (log.path.read_bytes(), log.head_path.read_bytes()) == before
    assert log.append(kind="converge", actor="lan", body=2).sequence == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "log.jsonl"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system of its own")
def test_a_full_file_system_is_reported(tmp_path: Path) -> None:
    """On a tmpfs of 64 KiB appends go on until ENOSPC; what was acknowledged verifies, with its head."""
    program, disk = tmp_path / "fill.py", tmp_path / "disk"
    disk.mkdir()
    program.write_text(f"""
import sys; sys.path.insert(0, {str(VERIFIER.parents[1])!r})
from pathlib import Path
from scripts.evidence import EvidenceError, open_log
done = 0
try:
    while True:
        done = open_log(Path({str(disk / "e")!r})).append(kind="day", actor="t", body="x" * 900).sequence
except EvidenceError as err:
    print(err)
print(done)
""")
    files = f"{disk}/e/log.jsonl --public-key {disk}/e/public.pem --head {disk}/e/head.json"
    script = f"mount -t tmpfs -o size=64k none {disk}; {sys.executable} {program}; {sys.executable} {VERIFIER} {files}"
    run = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    error, done, verdict = run.stdout.splitlines()
    assert "CGC-605" in error
    assert "No space left on device" in error
    assert int(done) > 10
    assert verdict.startswith(f"{done} entries verify")


# ── Tampering ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_flipped_bit_is_found_and_located(tmp_path: Path) -> None:
    """Any bit of any byte, newlines and the last entry included: found at the line and byte offset where it is."""
    lines = lines_of(tmp_path, entries=2)
    content = b"".join(lines)
    for position in range(len(content)):
        line = 1 if position < len(lines[0]) else 2
        for bit in (0, 2, 5, 7):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            problem = check(bytes(changed)).problem
            assert problem is not None, (position, bit)
            assert (problem.line, problem.byte_offset) == (line, 0 if line == 1 else len(lines[0])), (position, bit)


def test_a_log_cut_at_any_byte_is_found_with_its_head(tmp_path: Path) -> None:
    """With the head or an anchor every cut is found; without, a cut between lines cannot be (said in the docstring)."""
    lines = lines_of(tmp_path, entries=3)
    content, head = b"".join(lines), (tmp_path / "head.json").read_bytes()
    anchor = Anchor(sequence=3, digest=hashlib.sha256(lines[2]).hexdigest())
    ends = {0, len(lines[0]), len(lines[0] + lines[1])}
    for cut in range(len(content)):
        for result in (check(content[:cut], head=head), check(content[:cut], anchors=[anchor])):
            assert result.problem is not None
            assert result.problem.what is Tampering.TRUNCATED
            assert result.problem.byte_offset == max(end for end in ends if end <= cut)
        assert (check(content[:cut]).problem is None) == (cut in ends)


Attack = Callable[[list[bytes]], list[bytes]]
FOREIGN = resigned(b'{"actor":"x","at":"2031-09-30T08:15:02.000000Z","body":1,"kind":"day","previous":"","sequence":3}',
                   OTHER_KEY, key=evidence_verifier.key_id(OTHER_KEY.public_key()))  # fmt: skip
UNSIGNED = b'{"note":"nothing to see"}\n'
ATTACKS: dict[str, tuple[Attack, tuple[Tampering, int]]] = {
    "a word of a body": (
        lambda e: [e[0], e[1].replace(b'"run":1', b'"run":7'), *e[2:]],
        (Tampering.EDITED, 2),
    ),
    "another key's id": (
        lambda e: [*e[:2], e[2].replace(b'"key":"', b'"key":"0'), *e[3:]],
        (Tampering.EDITED, 3),
    ),
    "a space that changes nothing": (lambda e: [e[0].replace(b":", b": ", 1), *e[1:]], (Tampering.EDITED, 1)),
    "members in another order": (
        lambda e: [
            json.dumps(dict(reversed(json.loads(e[0]).items())), separators=(",", ":")).encode() + b"\n",
            *e[1:],
        ],
        (Tampering.EDITED, 1),
    ),
    "the spare bits of base64": (
        lambda e: [*e[:4], re.sub(rb'.=="}', lambda m: bytes([m[0][0] + 1]) + b'=="}', e[4])],
        (Tampering.EDITED, 5),
    ),
    "the first entry deleted": (lambda e: e[1:], (Tampering.DELETED, 1)),
    "one deleted": (lambda e: [*e[:2], *e[3:]], (Tampering.DELETED, 3)),
    "two deleted": (lambda e: [e[0], *e[3:]], (Tampering.DELETED, 2)),
    "a number left out by the key's holder": (lambda e: [*e[:4], resigned(e[4], sequence=7)], (Tampering.DELETED, 5)),
    "an unsigned line inserted": (lambda e: [*e[:2], UNSIGNED, *e[2:]], (Tampering.INSERTED, 3)),
    "an empty line inserted": (lambda e: [b"\n", *e], (Tampering.INSERTED, 1)),
    "an earlier entry repeated": (lambda e: [*e[:4], e[1], e[4]], (Tampering.INSERTED, 5)),
    "a later entry repeated": (lambda e: [e[0], e[3], *e[1:]], (Tampering.INSERTED, 2)),
    "the last entry repeated": (lambda e: [*e, e[4]], (Tampering.INSERTED, 6)),
    "a stranger's entry inserted": (lambda e: [*e[:2], FOREIGN, *e[2:]], (Tampering.WRONG_KEY, 3)),
    "neighbours exchanged": (lambda e: [e[0], e[2], e[1], *e[3:]], (Tampering.REORDERED, 2)),
    "the first moved to the end": (lambda e: [*e[1:], e[0]], (Tampering.REORDERED, 1)),
    "all reversed": (lambda e: e[::-1], (Tampering.REORDERED, 1)),
    "the last line torn": (lambda e: [*e[:4], e[4][:-1]], (Tampering.TRUNCATED, 5)),
    "dated back by the key's holder": (
        lambda e: [*e[:4], resigned(e[4], at="2031-09-30T08:15:00.000000Z")],
        (Tampering.BACK_DATED, 5),
    ),
    "signed anew by the key's holder": (
        lambda e: [*e[:2], resigned(e[2], body="other"), *e[3:]],
        (Tampering.FORKED, 4),
    ),
    "two histories": (lambda e: [*e[:3], resigned(e[2], body="other"), *e[3:]], (Tampering.FORKED, 4)),
    "a first entry that follows another": (lambda e: [resigned(e[0], previous="1" * 64)], (Tampering.FORKED, 1)),
    "a line too long": (lambda e: [e[0], b"x" * (evidence_verifier.LARGEST_LINE_BYTES + 9)], (Tampering.EDITED, 2)),
    "nested beyond reason": (lambda e: [e[0], b"[" * 100_000 + b"]" * 100_000 + b"\n"], (Tampering.EDITED, 2)),
    "signed for another purpose": (
        lambda e: [
            canonical(
                (m := {n: v for n, v in json.loads(e[0]).items() if n != "signature"})
                | {"signature": base64.b64encode(KEY.sign(signed_bytes("text/plain", m))).decode()}
            )
            + b"\n"
        ],
        (Tampering.EDITED, 1),
    ),
}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Seal five entries."""
    return lines_of(tmp_path_factory.mktemp("five"), entries=5)


@pytest.mark.parametrize("name", ATTACKS)
def test_tampering_is_named_and_located(five: list[bytes], name: str) -> None:
    """Each way to change a log is found at its first bad line, with the right word and byte offset."""
    attack, expected = ATTACKS[name]
    changed = attack(five)
    result = check(b"".join(changed))
    assert found(result) == expected
    assert result.problem is not None
    assert result.problem.byte_offset == len(b"".join(changed[: expected[1] - 1]))
    assert result.entries == expected[1] - 1


@pytest.mark.parametrize("kept", range(5))
def test_any_exchange_and_any_deletion_is_found(five: list[bytes], kept: int) -> None:
    """Every pair of entries exchanged, every run of entries deleted from the middle."""
    lines = five
    for other in range(kept + 1, 5):
        exchanged = list(lines)
        exchanged[kept], exchanged[other] = exchanged[other], exchanged[kept]
        assert found(check(b"".join(exchanged))) == (Tampering.REORDERED, kept + 1)
        assert found(check(b"".join(lines[:kept] + lines[other:]))) == (Tampering.DELETED, kept + 1)


def test_a_log_of_another_key_is_not_believed(tmp_path: Path) -> None:
    """A wholly consistent log signed by someone else fails at its first line."""
    assert found(check(b"".join(lines_of(tmp_path, entries=2, key=OTHER_KEY)))) == (Tampering.WRONG_KEY, 1)


def test_a_history_signed_anew_contradicts_an_anchor(tmp_path: Path) -> None:
    """The key's holder can write another history; an anchor noted before contradicts it, where it stands."""
    lines = lines_of(tmp_path / "a", entries=3)
    anchor = Anchor(sequence=2, digest=hashlib.sha256(lines[1]).hexdigest())
    rewritten = lines_of(tmp_path / "b", entries=3, start=START + timedelta(days=1))
    assert check(b"".join(lines), anchors=[anchor]).verified
    assert check(b"".join(rewritten)).verified
    result = check(b"".join(rewritten), anchors=[anchor])
    assert found(result) == (Tampering.FORKED, 2)
    assert result.problem is not None
    assert result.problem.byte_offset == len(rewritten[0])


def test_an_append_does_not_continue_a_rolled_back_log(tmp_path: Path) -> None:
    """Entries cut off, the whole log deleted, the head deleted, changed or another's: CGC-604, nothing is written."""
    lines = lines_of(tmp_path, entries=3)
    log = new_log(tmp_path)
    head = log.head_path.read_bytes()
    lines_of(tmp_path / "other", entries=3, start=START + timedelta(days=1))
    other_head = (tmp_path / "other" / "head.json").read_bytes()
    for content, beside in [
        (b"".join(lines[:2]), head),
        (b"", head),
        (b"".join(lines), None),
        (b"".join(lines), head.replace(b'"sequence":3', b'"sequence":1')),
        (b"".join(lines), b""),
        (b"".join(lines), other_head),
    ]:
        log.path.write_bytes(content)
        log.head_path.unlink(missing_ok=True)
        if beside is not None:
            log.head_path.write_bytes(beside)
        with pytest.raises(EvidenceError, match="CGC-604"):
            log.append(kind="day", actor="t", body=1)
        assert log.path.read_bytes() == content


def test_an_append_does_not_continue_a_damaged_log(tmp_path: Path) -> None:
    """A last line that is no entry of this key is refused: CGC-603 sends to `verify`."""
    lines = lines_of(tmp_path, entries=2)
    log = new_log(tmp_path)
    for bad in (UNSIGNED, FOREIGN, lines[1].replace(b"lan", b"nam")):
        log.path.write_bytes(lines[0] + bad)
        with pytest.raises(EvidenceError, match="CGC-603"):
            log.append(kind="day", actor="t", body=1)


def test_rolling_back_both_files_is_found_by_an_anchor_only(tmp_path: Path) -> None:
    """The docstring's plain word: log and head of an older day fit together; only an anchor kept elsewhere tells."""
    lines = lines_of(tmp_path, entries=1)
    log = new_log(tmp_path, start=START + timedelta(hours=1))
    old = log.path.read_bytes(), log.head_path.read_bytes()
    log.append(kind="fault", actor="lan", body="to be hidden")
    anchor = log.last()
    log.path.write_bytes(old[0])
    log.head_path.write_bytes(old[1])
    assert check(old[0], head=old[1]).verified
    assert found(check(old[0], head=old[1], anchors=[anchor])) == (Tampering.TRUNCATED, 2)
    assert lines == [old[0]]


# ── A second opinion ─────────────────────────────────────────────────────────────────────────────────────────────────

_LINE = re.compile(
    rb'(\{"actor":"(?:[^"\\]|\\.)*","at":"([^"]{27})",.*"key":"[0-9a-f]{32}","kind":"[^"]*",'
    rb'"previous":"([0-9a-f]{64})","sequence":([1-9]\d*)),"signature":"([A-Za-z0-9+/]{85}[AQgw]==)"\}\n',
    re.DOTALL,
)


def second_opinion(content: bytes, key: Ed25519PublicKey) -> bool:
    """Judge a log without reading JSON: `signature` comes last, so the signed bytes are the rest of the line."""
    previous, at = b"0" * 64, b""
    lines = content.splitlines(keepends=True) if b"\r" not in content else [content]
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None or int(match[4]) != number or match[3] != previous or match[2] < at:
            return False
        body = match[1] + b"}"
        signed = b"DSSEv1 %d %s %d %s" % (len(ENTRY_TYPE), ENTRY_TYPE.encode(), len(body), body)
        try:
            key.verify(base64.b64decode(match[5]), signed)
        except InvalidSignature:
            return False
        previous, at = hashlib.sha256(line).hexdigest().encode(), match[2]
    return bool(lines)


def mutated(lines: list[bytes], chance: random.Random) -> bytes:
    """Return the log after one to three random changes of lines or bytes, some of them no change at all."""
    sealed, lines = lines, list(lines)
    for _ in range(chance.randrange(1, 4)):
        if not lines:
            break
        place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                lines[place], lines[other] = lines[other], lines[place]
            case 1:
                del lines[place]
            case 2:
                lines.insert(place, lines[other])
            case 3 if lines[place] in sealed:
                lines[place] = resigned(lines[place], body=chance.randrange(2))
            case 4:
                changed = bytearray(lines[place] or b"x")
                changed[chance.randrange(len(changed))] = chance.randrange(256)
                lines[place] = bytes(changed)
            case 5:
                lines = lines[: place + 1]
            case 6:
                lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
    return b"".join(lines)


def agree(directory: Path, *, mutations: int) -> None:
    """Compare both verifiers on mutated logs."""
    chance = random.Random(2031)  # noqa: S311 - mutations
    lines = lines_of(directory, entries=4)
    verdicts = {True: 0, False: 0}
    for _ in range(mutations):
        content = mutated(lines, chance)
        verdict = check(content).verified
        assert verdict == second_opinion(content, KEY.public_key()), content
        verdicts[verdict] += 1
    assert min(verdicts.values()) > mutations / 50


def test_a_second_verifier_agrees(tmp_path: Path) -> None:
    """An independent implementation gives the same verdict on 800 mutated logs, good ones among them."""
    agree(tmp_path, mutations=800)


@pytest.mark.slow
def test_a_second_verifier_agrees_ten_thousand_times(tmp_path: Path) -> None:
    """The same on 20,000 mutations."""
    agree(tmp_path, mutations=20_000)


PLANTED_BUGS = {
    "accepts any signature": (
        "MalformedLineError):\n        return False",
        "MalformedLineError):\n        return True",
    ),
    "does not look at the chain": ("or entry.previous != walk.last or", "or"),
    "does not count": ("entry.sequence != len(walk.digests) + 1 or", ""),
    "does not look at time": (" or entry.at < walk.at:", ":"),
    "takes any form of JSON": ("    if not same:", "    if False:"),
    "takes any form of base64": ("    if base64.b64encode(raw).decode() != text:", "    if False:"),
    "takes a torn line": (
        'if line.endswith(b"\\n") or len(line) > LARGEST_LINE_BYTES:\n            reading = _read(line, keys)',
        'if True:\n            reading = _read(line.rstrip(b"\\n") + b"\\n", keys)',
    ),
    "does not bind the purpose": ("    kind = payload_type.encode()", '    kind = b"any"'),
    "takes strangers for mistakes": ("        what=Tampering.WRONG_KEY,", "        what=Tampering.EDITED,"),
    "counts bytes wrongly": ("        offset += len(line)", "        offset += len(line) - 1"),
    "never sees insertions": ('Tampering.INSERTED, f"the lines', 'Tampering.EDITED, f"the lines'),
    "takes moved for deleted": ("        return Tampering.REORDERED,", "        return Tampering.DELETED,"),
}


@pytest.mark.parametrize("bug", PLANTED_BUGS)
def test_these_tests_would_notice_a_wrong_verifier(five: list[bytes], bug: str) -> None:
    """Each bug planted in the verifier changes the verdict on at least one of the attacks above."""
    right, wrong = PLANTED_BUGS[bug]
    source = VERIFIER.read_text()
    assert source.count(right) == 1
    planted = types.ModuleType("planted")
    sys.modules["planted"] = planted  # dataclasses look their module up
    try:
        exec(compile(source.replace(right, wrong), "planted", "exec"), planted.__dict__)  # noqa: S102 - our own source
        noticed = []
        for name, (attack, expected) in ATTACKS.items():
            changed = attack(five)
            problem = planted.verify(BytesIO(b"".join(changed)), [KEY.public_key()]).problem
            offset = len(b"".join(changed[: expected[1] - 1]))
            if problem is None or (problem.what, problem.line, problem.byte_offset) != (*expected, offset):
                noticed.append(name)
    finally:
        del sys.modules["planted"]
    assert noticed


# ── Keys, and the file an auditor copies ─────────────────────────────────────────────────────────────────────────────


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """The key has mode 0600 whatever the umask; the public half lies beside it; a second call loads the same key."""
    before = os.umask(0)
    try:
        first = create_or_load_key(tmp_path / "e" / "key.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "e" / "key.pem").stat().st_mode & 0o777 == 0o600
    pem = (tmp_path / "e" / "public.pem").read_bytes()
    assert pem == first.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert create_or_load_key(tmp_path / "e" / "key.pem").private_bytes_raw() == first.private_bytes_raw()
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == ["key.pem", "public.pem"]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    """Six processes open a log that is not there yet, each appends: one key, one chain."""
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            open_log(tmp_path / "e").append(kind="day", actor="t", body=number)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    log = open_log(tmp_path / "e")
    result = verify(BytesIO(log.path.read_bytes()), [log.public_key], head=log.head_path.read_bytes())
    assert (result.verified, result.entries) == (True, 6)


@pytest.mark.parametrize("content", [b"", b"not a key", None])
def test_a_bad_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A key that is no key, or that others can read, is refused (CGC-601) and left alone."""
    path = tmp_path / "key.pem"
    if content is None:
        create_or_load_key(path)
        path.chmod(0o640)
    else:
        path.write_bytes(content)
        path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(EvidenceError, match="CGC-601"):
        create_or_load_key(path)
    assert path.read_bytes() == before


def test_a_lost_key_does_not_become_a_new_one(tmp_path: Path) -> None:
    """A log with entries and no key is refused (CGC-602): a new key would make a history of two authors."""
    open_log(tmp_path).append(kind="day", actor="t", body=1)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(EvidenceError, match="CGC-602"):
        open_log(tmp_path)


def test_the_verifier_is_one_file_that_an_auditor_copies(tmp_path: Path) -> None:
    """Alone in an empty directory, isolated from this checkout, it verifies, finds a flipped byte, and says so."""
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(VERIFIER.read_text()))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }  # fmt: skip
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
    log = open_log(tmp_path / "e")
    for number in range(3):
        log.append(kind="day", actor="t", body=number)
    anchor = log.last()
    copy = tmp_path / "auditor" / "evidence_verifier.py"
    copy.parent.mkdir()
    shutil.copy(VERIFIER, copy)
    public = tmp_path / "e" / "public.pem"

    def audit(*arguments: str) -> tuple[int, str]:
        run = subprocess.run(
            [sys.executable, "-I", str(copy), str(log.path), "--public-key", str(public), *arguments],
            capture_output=True, text=True, check=False, cwd=copy.parent,
        )  # fmt: skip
        assert "Traceback" not in run.stderr
        return run.returncode, run.stdout

    assert audit("--head", str(log.head_path), "--anchor", str(anchor))[0] == 0
    assert json.loads(audit("--json")[1])["anchor"] == str(anchor)
    assert audit("--anchor", "nonsense")[0] == 2
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b'"body":1', b'"body":8'))
    code, said = audit()
    assert code == 4
    assert said.startswith("edited at line 2 (byte ")
    log.path.write_bytes(b"")
    assert audit()[0] == 3
    assert audit("--head", str(log.head_path))[0] == 4
