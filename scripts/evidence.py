"""The evidence of every run: an append-only log, hash-chained and signed (the format: evidence_verifier.py).

`append` returns only when the entry is on the disk. What may happen in between, and what is found afterwards:

* killed while writing: the log ends in a torn line, without newline; nobody was told that this entry exists, so the
  next append cuts it off, and says so with an entry of kind `repair`. A torn end that *had* been acknowledged (the head
  knows it) is not repaired but refused: that is damage, not a crash.
* killed after writing and before the head was replaced: the log is whole and one append ahead of its head; accepted.
* disk full: the log is put back to where it was, the head is untouched, the error is reported.
* two appenders: one waits for the other (flock on the log).

The head (`head.json`, beside the log) names the last acknowledged entry. An append refuses to continue a log that is
shorter than its head. Rolling back both together, or deleting both, is visible only to those who keep an anchor
elsewhere; see evidence_verifier.py for all that offline verification cannot know.
"""

from __future__ import annotations

import base64
import fcntl
import getpass
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from scripts.durable import create_file, flush_directory, replace_file, write_new
from scripts.errors import ScriptError
from scripts.evidence_verifier import (
    ENTRY_TYPE,
    HEAD_TYPE,
    LARGEST_LINE_BYTES,
    NO_ENTRY,
    Anchor,
    Entry,
    MalformedLineError,
    UnusableInputError,
    canonical,
    digest_of,
    entry_of,
    head_of,
    key_id,
    pre_authentication_encoding,
    time_text,
)

LOG_NAME = "log.jsonl"
HEAD_NAME = "head.json"
KEY_NAME = "key.pem"
PUBLIC_KEY_NAME = "public.pem"
LOCK_PATIENCE_SECONDS = 30.0  # an append holds the lock for milliseconds; longer means a stopped process
_LOCK_PAUSE_SECONDS = 0.003
_READ_BLOCK_BYTES = 64 * 1024
_KIND_SHAPE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)

__all__ = ["Anchor", "Draft", "Entry", "EvidenceError", "EvidenceLog", "create_or_load_key", "open_log", "this_actor"]


class EvidenceError(ScriptError):
    """Evidence could not be written, or the log is not in a state to be continued."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is to be sealed. `at` is left out except in replays: the log then takes its clock under its lock.

    `body` is any JSON value (integers within ±(2^53-1)); times of what happened belong in it.
    """

    kind: str
    actor: str
    body: object
    at: datetime | None = None


def _now() -> datetime:
    return datetime.now(UTC)


def this_actor() -> str:
    """Return who runs this process, as `user@host`; the person behind sudo where there is one."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


class EvidenceLog:
    """One log file, its head beside it, and the key that signs both. Safe between processes and threads."""

    def __init__(self, path: Path, key: Ed25519PrivateKey, *, clock: Callable[[], datetime] = _now) -> None:
        self.path = path
        self.head_path = path.with_name(HEAD_NAME)
        self._key = key
        self._key_id = key_id(key.public_key())
        self._public_keys = {self._key_id: key.public_key()}
        self._clock = clock

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The key an auditor needs."""
        return self._key.public_key()

    def append(self, *, kind: str, actor: str, body: object, at: datetime | None = None) -> Entry:
        """Seal one entry and return it once it is durable.

        `at` (aware) must not be before the last entry's. EvidenceError: CGC-603 the end of the log is damaged,
        CGC-604 the log was rolled back, CGC-605 it could not be written, CGC-606 the time is not acceptable,
        CGC-607 another process holds the log, CGC-608 the entry has no JSON form.
        """
        return self.append_many([Draft(kind=kind, actor=actor, body=body, at=at)])[0]

    def append_many(self, drafts: Sequence[Draft]) -> tuple[Entry, ...]:
        """Seal several entries with one flush to the disk: all of them or none."""
        if not drafts:
            return ()
        with self._locked() as descriptor:
            state = self._state_of(descriptor)
            repairs = [self._repair(descriptor, state)] if state.torn else []
            lines: list[bytes] = []
            entries: list[Entry] = []
            last = state.last
            for draft in [*repairs, *drafts]:
                line, last = self._sealed(draft, last)
                lines.append(line)
                entries.append(last)
            self._write(descriptor, state.size_bytes, b"".join(lines), entries[-1])
            if state.last is None:
                flush_directory(self.path.parent.parent)  # the directory itself may be as new as the log
        return tuple(entries[len(repairs) :])

    def last(self) -> Anchor:
        """Return the anchor of the last entry (sequence 0 if there is none), to be noted down elsewhere."""
        with self._locked() as descriptor:
            last = self._state_of(descriptor).last
        return Anchor(sequence=last.sequence, digest=last.digest) if last else Anchor(sequence=0, digest=NO_ENTRY)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise self._unwritable(err) from err
        try:
            self._wait_for_lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)  # the lock goes with it

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    raise EvidenceError(
                        "CGC-607",
                        f"another process has held the evidence log for {LOCK_PATIENCE_SECONDS:.0f} s",
                        where=str(self.path),
                        remedy=f"find it with `fuser {self.path}` and let it finish or end it",
                    ) from err
                time.sleep(_LOCK_PAUSE_SECONDS)
            else:
                break
        held, named = os.fstat(descriptor), self._named_status()
        if named is None or (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
            raise EvidenceError(
                "CGC-605",
                "the evidence log was removed or replaced while it was being opened",
                where=str(self.path),
                remedy="run the command again once nothing else moves the directory",
            )

    def _named_status(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None

    def _state_of(self, descriptor: int) -> _State:
        """Read the end of the log, hold it against the head, and refuse a log that lost what was acknowledged."""
        size_bytes = os.fstat(descriptor).st_size
        whole_bytes, backwards = _lines_backwards(descriptor, size_bytes)
        torn = os.pread(descriptor, size_bytes - whole_bytes, whole_bytes) if whole_bytes < size_bytes else b""
        newest = next(backwards, None)
        last = self._read(newest) if newest is not None else None
        head = self._head()
        if head is None:
            if last is not None:
                raise self._rolled_back(f"its head {self.head_path.name} is missing")
            self._replace_head(Anchor(sequence=0, digest=NO_ENTRY), time_text(self._clock()))
        elif last is None:
            if head.sequence:
                raise self._rolled_back(f"its head knows entry {head.sequence}, the log has no whole entry")
        else:
            self._hold_against_head(last, head, backwards)
        return _State(last=last, torn=torn, size_bytes=whole_bytes)

    def _hold_against_head(self, last: Entry, head: Anchor, backwards: Iterator[bytes]) -> None:
        if head.sequence > last.sequence:
            raise self._rolled_back(f"its head knows entry {head.sequence}, the log ends with entry {last.sequence}")
        at_head: Entry | None = last
        while at_head is not None and at_head.sequence > head.sequence:  # appended, then killed before the head
            line = next(backwards, None)
            older = self._read(line) if line is not None else None
            if at_head.previous != (older.digest if older else NO_ENTRY):
                raise self._damaged(f"entry {at_head.sequence} does not follow the line before it")
            at_head = older
        known = at_head.digest if at_head else NO_ENTRY
        if known != head.digest:
            raise self._rolled_back(f"its head knows entry {head.sequence} as {head.digest}, the log has {known}")

    def _read(self, line: bytes) -> Entry:
        try:
            return entry_of(line, self._public_keys)
        except MalformedLineError as err:
            raise self._damaged(f"one of its last entries cannot be relied on ({err})") from err

    def _head(self) -> Anchor | None:
        try:
            content = self.head_path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            raise self._unwritable(err) from err
        try:
            return head_of(content, self._public_keys)
        except UnusableInputError as err:
            raise self._rolled_back(f"its head {self.head_path.name} cannot be relied on: {err}") from err

    def _repair(self, descriptor: int, state: _State) -> Draft:
        try:
            os.ftruncate(descriptor, state.size_bytes)
        except OSError as err:
            raise self._unwritable(err) from err
        return Draft(
            kind="repair",
            actor="cgc",
            body={
                "what": "cut off a torn line that was never acknowledged",
                "cut_bytes": len(state.torn),
                "cut_sha256": digest_of(state.torn),
            },
        )

    def _sealed(self, draft: Draft, last: Entry | None) -> tuple[bytes, Entry]:
        at, clock = self._time_of(draft, last)
        if not _KIND_SHAPE.fullmatch(draft.kind):
            raise EvidenceError(
                "CGC-608",
                f"{draft.kind!r} is not a kind of evidence",
                remedy="a kind is a short word in lower case: letters, digits, hyphens (converge, drift, judge …)",
            )
        sequence, previous = (last.sequence + 1, last.digest) if last else (1, NO_ENTRY)
        members: dict[str, object] = {
            "actor": draft.actor,
            "at": at,
            "body": draft.body,
            "key": self._key_id,
            "kind": draft.kind,
            "previous": previous,
            "sequence": sequence,
        }
        if clock is not None:
            members["clock"] = clock
        try:
            line = self._signed_line(ENTRY_TYPE, members)
        except (ValueError, RecursionError) as err:
            raise EvidenceError(
                "CGC-608",
                f"the evidence of kind {draft.kind} has no canonical JSON form: {err}",
                remedy="write numbers beyond 2^53 and other types as text, and nest less deeply",
            ) from err
        if len(line) > LARGEST_LINE_BYTES:
            raise EvidenceError(
                "CGC-608",
                f"the evidence of kind {draft.kind} is {len(line)} bytes long, the limit is {LARGEST_LINE_BYTES}",
                remedy="keep the large part in a file of its own and seal its SHA-256",
            )
        return line, Entry(
            sequence=sequence,
            previous=previous,
            at=at,
            kind=draft.kind,
            actor=draft.actor,
            body=draft.body,
            clock=clock,
            key=self._key_id,
            digest=digest_of(line),
        )

    def _time_of(self, draft: Draft, last: Entry | None) -> tuple[str, str | None]:
        """Return `at` and, if the machine's clock has gone back, what it reads."""
        given = draft.at if draft.at is not None else self._clock()
        if given.tzinfo is None:
            raise EvidenceError(
                "CGC-606",
                f"the time {given.isoformat()} has no time zone",
                remedy="pass an aware datetime, such as datetime.now(UTC)",
            )
        at = time_text(given)
        if last is None or at >= last.at:
            return at, None
        if draft.at is None:
            return last.at, at
        raise EvidenceError(
            "CGC-606",
            f"the time {at} is before the last entry's ({last.at}): evidence is not dated back",
            where=str(self.path),
            remedy="leave the time of sealing out, and put the time of what happened into the body",
        )

    def _signed_line(self, payload_type: str, members: dict[str, object]) -> bytes:
        """Return the canonical line; `signature` sorts after every other member, so that it is put in at the end."""
        unsigned = canonical(members)
        signature = base64.b64encode(self._key.sign(pre_authentication_encoding(payload_type, unsigned)))
        return b'%s,"signature":"%s"}\n' % (unsigned[:-1], signature)

    def _head_line(self, anchor: Anchor, at: str) -> bytes:
        members: dict[str, object] = {
            "at": at,
            "entry": anchor.digest,
            "key": self._key_id,
            "sequence": anchor.sequence,
        }
        return self._signed_line(HEAD_TYPE, members)

    def _replace_head(self, anchor: Anchor, at: str) -> None:
        try:
            replace_file(self.head_path, self._head_line(anchor, at))
        except OSError as err:
            raise self._unwritable(err) from err

    def _write(self, descriptor: int, size_bytes: int, lines: bytes, last: Entry) -> None:
        """Stage the head first, so that a full disk is met before the log has grown; then log, then head."""
        staged = self.head_path.with_name(self.head_path.name + ".new")
        try:
            write_new(staged, self._head_line(Anchor(sequence=last.sequence, digest=last.digest), last.at))
        except OSError as err:
            raise self._unwritable(err) from err
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError as err:
            self._put_back(descriptor, size_bytes, staged)
            raise self._unwritable(err) from err
        try:
            staged.replace(self.head_path)
            flush_directory(self.path.parent)
        except OSError as err:
            raise EvidenceError(
                "CGC-605",
                f"entry {last.sequence} is in the log, but its head could not be replaced: {err}",
                where=str(self.head_path),
                remedy="mend the disk; the next append brings the head up to date",
            ) from err

    def _put_back(self, descriptor: int, size_bytes: int, staged: Path) -> None:
        try:
            staged.unlink(missing_ok=True)
            os.ftruncate(descriptor, size_bytes)
            os.fsync(descriptor)
        except OSError as err:
            raise EvidenceError(
                "CGC-605",
                f"an entry was written in part and could not be taken back: {err.strerror or err}",
                where=str(self.path),
                remedy="mend the disk; the next append cuts off what was not acknowledged",
            ) from err

    def _unwritable(self, err: OSError) -> EvidenceError:
        return EvidenceError(
            "CGC-605",
            f"the evidence could not be written: {err.strerror or err}",
            where=str(err.filename or self.path),
            remedy="free space or mend the rights of the directory, then run the command again",
        )

    def _rolled_back(self, why: str) -> EvidenceError:
        return EvidenceError(
            "CGC-604",
            f"the evidence log has lost entries that were acknowledged: {why}",
            where=str(self.path),
            remedy="keep both files for the auditor, move the directory aside, and ask who touched it; "
            "a new log starts by itself",
        )

    def _damaged(self, why: str) -> EvidenceError:
        return EvidenceError(
            "CGC-603",
            f"the evidence log cannot be continued: {why}",
            where=str(self.path),
            remedy=f"run `cgc evidence verify {self.path}` to find the place, and keep the file for the auditor",
        )


@dataclass(frozen=True, kw_only=True)
class _State:
    """The end of a log: its last entry, a torn rest after it, and the bytes up to the end of that entry."""

    last: Entry | None
    torn: bytes
    size_bytes: int


def _lines_backwards(descriptor: int, size_bytes: int) -> tuple[int, Iterator[bytes]]:
    """Return where the last whole line ends, and the whole lines (newline included) from the last to the first."""
    end = _newline_before(descriptor, size_bytes) + 1

    def lines() -> Iterator[bytes]:
        stop = end
        while stop > 0:
            start = _newline_before(descriptor, stop - 1) + 1
            yield os.pread(descriptor, stop - start, start)
            stop = start

    return end, lines()


def _newline_before(descriptor: int, stop: int) -> int:
    """Return the offset of the last newline before `stop`, or -1."""
    while stop > 0:
        start = max(0, stop - _READ_BLOCK_BYTES)
        found = os.pread(descriptor, stop - start, start).rfind(b"\n")
        if found >= 0:
            return start + found
        stop = start
    return -1


def create_or_load_key(path: Path) -> Ed25519PrivateKey:
    """Load the signing key (PKCS #8 PEM, mode 0600), or make it with its public half beside it as public.pem.

    EvidenceError CGC-601 if the file is readable to others, is not such a key, or cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            create_file(path, pem, mode=0o600)  # if another process was first, its key is the key
        status = path.stat()
        content = path.read_bytes()
    except OSError as err:
        raise EvidenceError(
            "CGC-601",
            f"the evidence key could not be read or made: {err.strerror or err}",
            where=str(path),
            remedy="mend the rights of the directory or free space",
        ) from err
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise EvidenceError(
            "CGC-601",
            f"the evidence key is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            where=str(path),
            remedy=f"run `chmod 600 {path}`; if others may have read it, start a new log with a new key",
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as err:
        raise _no_key(path, str(err)) from err
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "it is another kind of key")
    public = path.with_name(PUBLIC_KEY_NAME)
    if not public.exists():
        replace_file(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key


def _no_key(path: Path, why: str) -> EvidenceError:
    return EvidenceError(
        "CGC-601",
        f"not an Ed25519 private key in PEM: {why}",
        where=str(path),
        remedy="restore the key from its safe copy, or move the directory aside to start a new log",
    )


def open_log(directory: Path, *, clock: Callable[[], datetime] = _now) -> EvidenceLog:
    """Open the log of a directory, with its key; both are made if neither is there.

    EvidenceError CGC-602 if the log has entries and its key is gone: a new key must not continue an old log.
    """
    log, key = directory / LOG_NAME, directory / KEY_NAME
    has_entries = log.exists() and log.stat().st_size > 0  # asked first: another process may just be making both
    if has_entries and not key.exists():
        raise EvidenceError(
            "CGC-602",
            "the evidence log has entries, but the key that signs them is gone",
            where=str(key),
            remedy="restore the key from its safe copy, or move the directory aside to start a new log",
        )
    return EvidenceLog(log, create_or_load_key(key), clock=clock)
