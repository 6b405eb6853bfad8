"""Verifies an evidence log offline: this one file needs only Python 3.11 and the package `cryptography`.

An auditor copies this file, the log and a public key to a machine of their own and runs

    python3 evidence_verifier.py log.jsonl --public-key public.pem [--head head.json] [--anchor 42:5f0c…]

`cgc evidence verify` calls the same code. Nothing here imports the rest of the toolkit.

The log. One entry per line, the newline being part of the line. An entry is a JSON object in the canonical form of
RFC 8785 (members sorted, no spaces, shortest numbers), with these members:

    actor      who ran it (text)
    at         when it was sealed, UTC, e.g. "2031-09-30T08:15:00.000000Z"; never earlier than the entry before
    body       what happened (any JSON value)
    clock      only when the machine's clock had gone back: what it read; `at` then repeats the time before
    key        the id of the signing key: the first 32 hexadecimal digits of SHA-256 of the raw Ed25519 public key
    kind       what kind of run it was (converge, drift, judge, fault, day …)
    previous   SHA-256 of the line before, 64 zeros for the first: what `sed -n 41p log.jsonl | sha256sum` prints
    sequence   1, 2, 3 …: the number of the line
    signature  Ed25519 (RFC 8032) in base64 over the DSSE pre-authentication encoding of the entry without this member

DSSE v1 (Dead Simple Signing Envelope, secure-systems-lab/dsse, protocol.md) defines

    PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body       (lengths in bytes, ASCII decimal)

The head (`head.json`) is one such signed line naming the last entry acknowledged to its writer; an anchor is the same
fact as text, `SEQUENCE:SHA-256`, which an auditor notes down elsewhere (mail, paper, another machine).

What offline verification can know. Anyone *without* the private key is found out: an edited, inserted, deleted,
repeated or reordered entry, a torn end, another key. With an anchor noted earlier, or a head kept out of the attacker's
reach, entries cut from the end are found out too, and so is a history that was signed anew (a fork).

What it cannot know. Without a head or an anchor, a log whose last entries were cut off is a perfectly good shorter log.
If log and head were both rolled back to an older pair, only an anchor kept elsewhere tells. Whoever holds the private
key can write a different history and sign it; only an anchor or another copy contradicts it. A time is the signer's
word: it is checked to be in order, not to be true. An event that was never appended leaves no trace.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ENTRY_TYPE = "application/vnd.cgc.evidence.entry.v1+json"
HEAD_TYPE = "application/vnd.cgc.evidence.head.v1+json"
NO_ENTRY = "0" * 64  # the `previous` of the first entry
LARGEST_LINE_BYTES = 16 * 1024 * 1024
LARGEST_EXACT_INTEGER = 2**53 - 1  # RFC 7493 (I-JSON) §2.2, to which RFC 8785 binds numbers
DEEPEST_BODY = 64  # levels of nesting: far below the interpreter's recursion limit on any machine
_ENTRY_MEMBERS = frozenset({"actor", "at", "body", "key", "kind", "previous", "sequence", "signature"})
_HEAD_MEMBERS = frozenset({"at", "entry", "key", "sequence", "signature"})
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_SHA256_SHAPE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Tampering(StrEnum):
    """What is wrong with the first bad entry."""

    EDITED = "edited"
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    BACK_DATED = "back-dated"
    FORKED = "forked"
    WRONG_KEY = "wrong key"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The first bad place of a log: its line (from 1), the byte offset at which that line begins, and what it is."""

    what: Tampering
    line: int
    byte_offset: int
    detail: str


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A place in a history: the number of an entry and the SHA-256 (hexadecimal) of its line; 0 means no entry yet."""

    sequence: int
    digest: str

    def __str__(self) -> str:
        """Return it as it is noted down: `SEQUENCE:SHA-256`."""
        return f"{self.sequence}:{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verification found: how many entries are good from the start, where they end, and the first problem."""

    entries: int
    last: Anchor
    last_at: str
    problem: Problem | None
    head_sequence: int | None

    @property
    def verified(self) -> bool:
        """Whether there are entries, each is good, and nothing that the head or an anchor knows is missing."""
        return self.problem is None and self.entries > 0


class UnusableInputError(ValueError):
    """The key, the head or the anchor given to the verifier cannot be used as such."""


class MalformedLineError(ValueError):
    """A line is not an entry in canonical form."""


def canonical(value: object) -> bytes:
    """Return the JSON value as RFC 8785 bytes; ValueError if it has none (NaN, an int beyond 2**53, half a letter)."""
    pieces: list[str] = []
    _write(value, pieces, DEEPEST_BODY)
    try:
        return "".join(pieces).encode()
    except UnicodeEncodeError as err:
        raise ValueError(f"text with a lone surrogate has no UTF-8 form: {err}") from err


def _write(value: object, pieces: list[str], levels: int) -> None:
    if levels == 0:
        raise ValueError(f"nested deeper than {DEEPEST_BODY} levels")
    if value is None or isinstance(value, bool):
        pieces.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        pieces.append(json.dumps(value, ensure_ascii=False))  # its escapes are those of RFC 8785 §3.2.2.2
    elif isinstance(value, int):
        if abs(value) > LARGEST_EXACT_INTEGER:
            raise ValueError(f"{value} is outside ±(2^53-1); write it as text")
        pieces.append(str(int(value)))
    elif isinstance(value, float):
        pieces.append(_number(value))
    elif isinstance(value, Mapping):
        _write_object(value, pieces, levels)
    elif isinstance(value, list | tuple):
        pieces.append("[")
        for position, item in enumerate(value):
            if position:
                pieces.append(",")
            _write(item, pieces, levels - 1)
        pieces.append("]")
    else:
        raise ValueError(f"{type(value).__name__} is not a JSON value")


def _write_object(members: Mapping[object, object], pieces: list[str], levels: int) -> None:
    names: list[str] = []
    for name in members:
        if not isinstance(name, str):
            raise ValueError(f"a member's name must be text, not {type(name).__name__}")  # noqa: TRY004 - as above
        names.append(name)
    # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from Python's order beyond the basic plane.
    names.sort(key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    pieces.append("{")
    for position, name in enumerate(names):
        if position:
            pieces.append(",")
        pieces.append(json.dumps(name, ensure_ascii=False))
        pieces.append(":")
        _write(members[name], pieces, levels - 1)
    pieces.append("}")


def _number(value: float) -> str:
    """Write a float as ECMAScript does (RFC 8785 §3.2.2.3): repr's digits in the layout of Number::toString."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent_text or "0")  # how many digits stand before the decimal point
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    digits, point = digits.lstrip("0"), point - leading
    digits = digits.rstrip("0")
    largest_plain, smallest_plain = 21, -6  # ECMA-262 Number::toString: plain form inside 1e-6 … 1e21
    if len(digits) <= point <= largest_plain:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= largest_plain:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if smallest_plain < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if exponent > 0 else '-'}{abs(exponent)}"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE v1 PAE (secure-systems-lab/dsse, protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of a public key: the first 32 hexadecimal digits of SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def digest_of(line: bytes) -> str:
    """Return SHA-256 of a whole line, newline included, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def time_text(moment: datetime) -> str:
    """Return the aware moment as the log writes it: UTC with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def time_of(text: str) -> datetime:
    """Return the moment a log wrote; ValueError if it is written in any other way."""
    if not _TIME_SHAPE.fullmatch(text):
        raise ValueError(f"{text!r} is not a UTC time with microseconds")
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def anchor_of(text: str) -> Anchor:
    """Read `SEQUENCE:SHA-256`; UnusableInputError if it is not that."""
    number, _, digest = text.strip().partition(":")
    if not re.fullmatch(r"0|[1-9]\d{0,15}", number, re.ASCII) or not _SHA256_SHAPE.fullmatch(digest):
        raise UnusableInputError(f"{text!r} is not an anchor; it reads SEQUENCE:SHA-256, as `evidence show` prints it")
    return Anchor(sequence=int(number), digest=digest)


def public_key_of(pem: bytes) -> Ed25519PublicKey:
    """Read an Ed25519 public key in PEM; UnusableInputError if it is not one."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise UnusableInputError(f"not a public key in PEM: {err}") from err
    if not isinstance(key, Ed25519PublicKey):
        raise UnusableInputError("the public key is not an Ed25519 key")
    return key


def members_of(line: bytes, required: frozenset[str], optional: frozenset[str] = frozenset()) -> dict[str, object]:
    """Read one canonical, newline-ended JSON object with exactly these members; MalformedLineError says what is off."""
    if not line.endswith(b"\n"):
        raise MalformedLineError("the line does not end")
    if len(line) > LARGEST_LINE_BYTES:
        raise MalformedLineError(f"the line is longer than {LARGEST_LINE_BYTES} bytes")
    try:
        value = json.loads(line[:-1].decode(), parse_int=_integer, parse_constant=_refuse_constant)
        same = canonical(value) == line[:-1]
    except (ValueError, RecursionError) as err:
        raise MalformedLineError(f"not canonical JSON: {err}") from err
    if not isinstance(value, dict):
        raise MalformedLineError("not a JSON object")
    if not same:
        raise MalformedLineError("not in the canonical form of RFC 8785")
    names = frozenset(value)
    if not required <= names <= required | optional:
        raise MalformedLineError(f"its members are {sorted(names)}, expected {sorted(required)}")
    return value


def _integer(text: str) -> int | float:
    value = int(text)
    return value if abs(value) <= LARGEST_EXACT_INTEGER else float(text)  # RFC 8785 writes 1e20 without an exponent


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def signature_of(members: Mapping[str, object]) -> bytes:
    """Return the 64 bytes of a `signature` member; MalformedLineError if it is written in any but the one way."""
    text = members["signature"]
    if not isinstance(text, str):
        raise MalformedLineError("the signature is not text")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise MalformedLineError(f"the signature is not base64: {err}") from err
    if base64.b64encode(raw).decode() != text:  # base64 leaves spare bits in the last letter
        raise MalformedLineError("the signature is not in the one canonical base64 form")
    return raw


def signed_bytes(payload_type: str, members: Mapping[str, object]) -> bytes:
    """Return what the signature of these members is over: the PAE of the canonical object without `signature`."""
    unsigned = {name: value for name, value in members.items() if name != "signature"}
    return pre_authentication_encoding(payload_type, canonical(unsigned))


def is_signed_by(key: Ed25519PublicKey, payload_type: str, members: Mapping[str, object]) -> bool:
    """Tell whether the `signature` member is this key's over the other members."""
    try:
        key.verify(signature_of(members), signed_bytes(payload_type, members))
    except (InvalidSignature, MalformedLineError):
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry whose form and signature are good; whether it stands in the right place is another question."""

    sequence: int
    previous: str
    at: str
    kind: str
    actor: str
    body: object
    clock: str | None
    key: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class _Flawed:
    """A line that is no entry signed by a known key."""

    what: Tampering
    detail: str


def entry_of(line: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Entry:
    """Read one line as an entry signed by one of the keys (by id); MalformedLineError says why it is not."""
    reading = _read(line, keys)
    if isinstance(reading, _Flawed):
        raise MalformedLineError(f"{reading.what}: {reading.detail}")
    return reading


def _read(line: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Entry | _Flawed:
    try:
        members = members_of(line, _ENTRY_MEMBERS, frozenset({"clock"}))
    except MalformedLineError as err:
        return _Flawed(what=Tampering.EDITED, detail=str(err))
    named = members["key"]
    key = keys.get(named) if isinstance(named, str) else None
    if key is None:
        return _stranger(members, keys)
    if not is_signed_by(key, ENTRY_TYPE, members):
        return _Flawed(what=Tampering.EDITED, detail="its signature does not fit its content")
    sequence, previous, at, clock = members["sequence"], members["previous"], members["at"], members.get("clock")
    kind, actor = members["kind"], members["actor"]
    if (
        not isinstance(sequence, int)
        or isinstance(sequence, bool)
        or not isinstance(previous, str)
        or not isinstance(at, str)
        or not isinstance(kind, str)
        or not isinstance(actor, str)
        or not isinstance(clock, str | None)
        or not _TIME_SHAPE.fullmatch(at)
    ):
        return _Flawed(what=Tampering.EDITED, detail="signed, but a member has the wrong type")
    return Entry(
        sequence=sequence,
        previous=previous,
        at=at,
        kind=kind,
        actor=actor,
        body=members["body"],
        clock=clock,
        key=str(named),
        digest=digest_of(line),
    )


def _stranger(members: Mapping[str, object], keys: Mapping[str, Ed25519PublicKey]) -> _Flawed:
    """Tell a foreign signer from an own entry of which only the key's id was changed."""
    for own, key in keys.items():
        if is_signed_by(key, ENTRY_TYPE, {**members, "key": own}):
            return _Flawed(what=Tampering.EDITED, detail=f"the id of its key was changed from {own}")
    return _Flawed(
        what=Tampering.WRONG_KEY,
        detail=f"it names the key {members['key']!r}; the given public key is {' or '.join(sorted(keys))}",
    )


@dataclass(frozen=True, kw_only=True)
class _Line:
    number: int
    byte_offset: int
    reading: Entry | _Flawed


def _lines_of(log: BinaryIO, keys: Mapping[str, Ed25519PublicKey]) -> Iterator[_Line]:
    offset = 0
    number = 0
    while line := log.readline(LARGEST_LINE_BYTES + 1):
        number += 1
        if line.endswith(b"\n") or len(line) > LARGEST_LINE_BYTES:
            reading = _read(line, keys)
        else:
            reading = _Flawed(what=Tampering.TRUNCATED, detail="the last line does not end: a torn write, or a cut")
        yield _Line(number=number, byte_offset=offset, reading=reading)
        offset += len(line)


@dataclass(kw_only=True)
class _Walk:
    """How far a log is good: the digests of its entries so far, where each begins, and the time of the last."""

    digests: list[str] = field(default_factory=list)
    byte_offsets: list[int] = field(default_factory=list)
    at: str = ""

    @property
    def last(self) -> str:
        return self.digests[-1] if self.digests else NO_ENTRY


def verify(
    log: BinaryIO,
    keys: Sequence[Ed25519PublicKey],
    *,
    head: bytes | None = None,
    anchors: Sequence[Anchor] = (),
) -> Verification:
    """Verify a whole log read from its start, and that it contains the head and every anchor.

    Raises UnusableInputError if no key is given or the head is not one signed by them. Uses memory for one line
    and 64 characters per entry.
    """
    if not keys:
        raise UnusableInputError("no public key was given")
    by_id = {key_id(key): key for key in keys}
    head_anchor = head_of(head, by_id) if head is not None else None
    walk = _Walk()
    problem: Problem | None = None
    lines = _lines_of(log, by_id)
    for line in lines:
        found = _place(line, walk)
        if found is not None:
            what, detail = _explain(found, lines, walk)
            problem = Problem(what=what, line=line.number, byte_offset=line.byte_offset, detail=detail)
            break
    if problem is None:
        for name, anchor in [("head", head_anchor), *(("anchor", anchor) for anchor in anchors)]:
            if anchor is not None and problem is None:
                problem = _hold_against(anchor, name, walk, size_bytes=log.tell())
    return Verification(
        entries=len(walk.digests),
        last=Anchor(sequence=len(walk.digests), digest=walk.last),
        last_at=walk.at,
        problem=problem,
        head_sequence=head_anchor.sequence if head_anchor else None,
    )


def head_of(line: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Anchor:
    """Read the head of a log signed by one of the keys; UnusableInputError if it is not."""
    try:
        members = members_of(line, _HEAD_MEMBERS)
    except MalformedLineError as err:
        raise UnusableInputError(f"the head is not as it was written: {err}") from err
    key = keys.get(str(members["key"]))
    sequence, digest = members["sequence"], members["entry"]
    if key is None or not is_signed_by(key, HEAD_TYPE, members):
        raise UnusableInputError("the head is not signed by the given public key")
    if not isinstance(sequence, int) or not isinstance(digest, str):
        raise UnusableInputError("the head is signed, but a member has the wrong type")
    return Anchor(sequence=sequence, digest=digest)


def _place(line: _Line, walk: _Walk) -> _Flawed | Entry | None:
    """Advance over a line that stands where it should; else return what was read."""
    entry = line.reading
    if isinstance(entry, _Flawed):
        return entry
    if entry.sequence != len(walk.digests) + 1 or entry.previous != walk.last or entry.at < walk.at:
        return entry
    walk.digests.append(entry.digest)
    walk.byte_offsets.append(line.byte_offset)
    walk.at = entry.at
    return None


def _explain(found: _Flawed | Entry, rest: Iterator[_Line], walk: _Walk) -> tuple[Tampering, str]:
    """Say what was done to the first line that does not fit, from it and what follows it."""
    expected = len(walk.digests) + 1
    if isinstance(found, _Flawed):
        return _explain_flawed(found, rest, walk)
    if found.sequence == expected and found.previous == walk.last:
        return Tampering.BACK_DATED, f"it is dated {found.at}, before the entry it follows ({walk.at})"
    if found.sequence == expected:
        return Tampering.FORKED, f"signed, but it follows {found.previous}, not line {expected - 1} ({walk.last})"
    if found.sequence < expected:
        if found.digest in walk.digests:
            return Tampering.INSERTED, f"a copy of line {walk.digests.index(found.digest) + 1}"
        return Tampering.FORKED, f"a second signed entry {found.sequence}, other than line {found.sequence}"
    missing_later = False
    for later in rest:
        if isinstance(later.reading, Entry):
            if later.reading.digest == found.digest:
                return Tampering.INSERTED, f"a copy of entry {found.sequence}, which stands at line {later.number}"
            missing_later = missing_later or later.reading.sequence == expected
    if missing_later:
        return Tampering.REORDERED, f"entry {found.sequence} stands here, entry {expected} comes later"
    return (
        Tampering.DELETED,
        f"entries {expected} to {found.sequence - 1} are missing before it (entry {found.sequence})",
    )


def _explain_flawed(found: _Flawed, rest: Iterator[_Line], walk: _Walk) -> tuple[Tampering, str]:
    if found.what is not Tampering.EDITED:
        return found.what, found.detail
    following = next(rest, None)
    if (
        following is not None
        and isinstance(following.reading, Entry)
        and following.reading.sequence == len(walk.digests) + 1
        and following.reading.previous == walk.last
    ):
        return Tampering.INSERTED, f"the lines around it fit together without it; {found.detail}"
    return Tampering.EDITED, found.detail


def _hold_against(anchor: Anchor, name: str, walk: _Walk, *, size_bytes: int) -> Problem | None:
    """Tell whether the good log contains what the head or an anchor says it contained."""
    if anchor.sequence > len(walk.digests):
        return Problem(
            what=Tampering.TRUNCATED,
            line=len(walk.digests) + 1,
            byte_offset=size_bytes,
            detail=f"the {name} knows entry {anchor.sequence}, the log ends after entry {len(walk.digests)}",
        )
    here = walk.digests[anchor.sequence - 1] if anchor.sequence else NO_ENTRY
    if here != anchor.digest:
        return Problem(
            what=Tampering.FORKED,
            line=anchor.sequence,
            byte_offset=walk.byte_offsets[anchor.sequence - 1] if anchor.sequence else 0,
            detail=f"the {name} knows entry {anchor.sequence} as {anchor.digest}, here it is {here}",
        )
    return None


def verify_file(
    log: Path, public_keys: Sequence[Path], *, head: Path | None = None, anchors: Sequence[str] = ()
) -> Verification:
    """Verify the log at a path with public keys from PEM files; OSError if a file cannot be read."""
    keys = [public_key_of(path.read_bytes()) for path in public_keys]
    with log.open("rb") as opened:
        return verify(
            opened,
            keys,
            head=head.read_bytes() if head else None,
            anchors=[anchor_of(text) for text in anchors],
        )


def sentence_of(verification: Verification) -> str:
    """Say the result in one line."""
    problem = verification.problem
    if problem is not None:
        return f"{problem.what} at line {problem.line} (byte {problem.byte_offset}): {problem.detail}"
    if not verification.entries:
        return "the log is empty: nothing is proven"
    return f"{verification.entries} entries verify, up to {verification.last} at {verification.last_at}"


def facts_of(verification: Verification) -> dict[str, object]:
    """Return the result as JSON values, the same for `cgc evidence verify --json` and for this file."""
    problem = verification.problem
    return {
        "verified": verification.verified,
        "entries": verification.entries,
        "anchor": str(verification.last),
        "last_at": verification.last_at,
        "head_sequence": verification.head_sequence,
        "problem": str(problem.what) if problem else None,
        "line": problem.line if problem else None,
        "byte_offset": problem.byte_offset if problem else None,
        "detail": problem.detail if problem else None,
    }


def exit_code_of(verification: Verification) -> int:
    """Return 0 if everything verifies, 4 if the log is not as it was written, 3 if it is empty and nothing is known."""
    if verification.problem is not None:
        return 4
    return 0 if verification.entries else 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a log from the command line; exit codes as `exit_code_of`, 2 if the input cannot be used."""
    parser = argparse.ArgumentParser(description="Verify an evidence log offline.")
    parser.add_argument("log", type=Path, help="the log, e.g. log.jsonl")
    parser.add_argument("--public-key", type=Path, action="append", required=True, help="Ed25519 public key, PEM")
    parser.add_argument("--head", type=Path, help="the signed head kept beside the log, head.json")
    parser.add_argument("--anchor", action="append", default=[], help="SEQUENCE:SHA-256 noted down earlier")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args(arguments)
    try:
        verification = verify_file(given.log, given.public_key, head=given.head, anchors=given.anchor)
    except (OSError, UnusableInputError) as err:
        print(f"cannot verify {given.log}: {err}", file=sys.stderr)
        return 2
    print(json.dumps(facts_of(verification), indent=2) if given.json else sentence_of(verification))
    return exit_code_of(verification)


if __name__ == "__main__":
    sys.exit(main())
