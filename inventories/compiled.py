"""The compiled form of a declaration: what tools load, while text is what people sign.

It is found by the hash of the text it was made from and of the code that made it, so it can never be stale, is never
committed, and may be deleted at any time. A form that is damaged, or that this code cannot read, is made anew.
Small declarations have none: their text is read as fast.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import msgspec

from inventories.declaration import Declaration
from inventories.model import Place
from inventories.reading import OWN_FILES, SHARED_FILES

SMALLEST_BYTES = 64 * 1024  # of units.csv
KEPT = 30  # forms; an edited declaration has a new one
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A sound declaration; `base_digest` is the hash of the text it is based on, empty where there is none."""

    base_digest: bytes
    declaration: Declaration
    places: tuple[Place, ...]


def store() -> Path:
    """Return the directory of all compiled forms."""
    cache_directory = os.environ.get("CGC_CACHE") or Path.home() / ".cache" / "cgc"
    return Path(cache_directory) / "nations"


def is_worth_it(directory: Path) -> bool:
    """Whether the declaration is so large that a compiled form saves time."""
    try:
        return (directory / "units.csv").stat().st_size >= SMALLEST_BYTES
    except OSError:
        return False


def digest_of(directory: Path) -> bytes:
    """Return the hash of a declaration's own text and of the code that reads it; where it lies does not count."""
    found = hashlib.sha256(_code_digest())
    for path in _texts(directory):
        content = path.read_bytes()
        found.update(f"{path.relative_to(directory)}\0{len(content)}\0".encode())
        found.update(content)
    return found.digest()


def _texts(directory: Path) -> Iterator[Path]:
    yield from (path for file in (*OWN_FILES, *SHARED_FILES) if (path := directory / file).is_file())
    yield from sorted((directory / "overrides").glob("*.y*ml"))  # *.yml, which is refused, counts as well


@cache
def _code_digest() -> bytes:
    """Return the hash of this room's code and of the library that encodes."""
    found = hashlib.sha256(msgspec.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()


def path_of(directory: Path) -> Path:
    """Return where the declaration's compiled form lies, or would."""
    return store() / f"{digest_of(directory).hex()}.msgpack"


def load(directory: Path, *, today: date) -> tuple[Declaration, tuple[Place, ...]] | None:
    """Return the compiled form of exactly the text in `directory`; None where the text must be read.

    That is so, too, where an override is past its date: reading the text says which.
    """
    if not is_worth_it(directory):
        return None
    try:
        path = path_of(directory)
        raw = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw[_DIGEST_BYTES:]).digest() != raw[:_DIGEST_BYTES]:
        return None
    try:
        found = _decoder().decode(raw[_DIGEST_BYTES:])
    except (msgspec.DecodeError, ValueError):
        return None
    base = found.declaration.nation.based_on
    if base is not None and found.base_digest != digest_of(directory / base):
        return None
    if any(override.until < today for override in found.declaration.overrides):
        return None
    _mark_used(path)
    return found.declaration, found.places


def digests_of(directory: Path, base: str | None) -> tuple[bytes, bytes]:
    """Return the hash of a declaration's own text and that of the one it is based on, empty where there is none."""
    return digest_of(directory), digest_of(directory / base) if base is not None else b""


def save(
    directory: Path, declaration: Declaration, places: tuple[Place, ...], *, digests: tuple[bytes, bytes] | None
) -> None:
    """Keep the compiled form of a sound declaration; where it cannot be written, the text is read again next time.

    `digests` are those from before the text was read: what somebody changed meanwhile is not kept.
    """
    if not is_worth_it(directory) or digests_of(directory, declaration.nation.based_on) != digests:
        return
    made = Compiled(base_digest=digests[1], declaration=declaration, places=places)
    payload = msgspec.msgpack.encode(made, enc_hook=str)
    try:
        path = path_of(directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        Path(file.name).replace(path)
        _forget_unused(path.parent)
    except OSError:
        return  # only time is lost


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return  # somebody else's form: it may be forgotten earlier


def _forget_unused(directory: Path) -> None:
    found = sorted(directory.glob("*.msgpack"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEPT:]:
        path.unlink(missing_ok=True)


@cache
def _decoder() -> msgspec.msgpack.Decoder[Compiled]:
    return msgspec.msgpack.Decoder(Compiled, dec_hook=_decoded)


def _decoded(wanted: type, value: Any) -> Any:
    if wanted in (IPv4Network, IPv6Network):
        return wanted(value)
    raise NotImplementedError(f"no such type in a declaration: {wanted}")
