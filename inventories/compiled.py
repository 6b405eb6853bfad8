"""The compiled form of a declaration: what tools load, while text is what people sign.

It is found by the hash of the text it was made from, its own and that of what it is based on, and of the code that made
it, so it can never be stale, is never committed, and may be deleted at any time. A form that is damaged, or that this
code cannot read, is made anew. Small declarations have none: their text is read as fast.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from datetime import date
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import msgspec
import yaml

from inventories.declaration import Declaration
from inventories.model import Place
from inventories.reading import OWN_FILES, SHARED_FILES

SMALLEST_BYTES = 64 * 1024  # of units.csv
KEPT = 30  # forms of a kind; an edited declaration has a new one
_DIGEST_BYTES = 32
_SUFFIX = ".msgpack"

Declared = tuple[Declaration, tuple[Place, ...]]


def store() -> Path:
    """Return the directory of all compiled forms."""
    cache_directory = os.environ.get("CGC_CACHE") or Path.home() / ".cache" / "cgc"
    return Path(cache_directory) / "nations"


def form_of(directory: Path, *, suffix: str = _SUFFIX, code: bytes = b"") -> Path | None:
    """Return where the compiled form of the text in `directory` lies, or would.

    None where that would save no time, or where the text cannot be read: whoever reads it will say why. What is made
    of a declaration by other code than this room's has its own `suffix` and that code's hash.
    """
    try:
        if (directory / "units.csv").stat().st_size < SMALLEST_BYTES:
            return None
        return path_of(directory, suffix=suffix, code=code)
    except OSError:
        return None


def path_of(directory: Path, *, suffix: str = _SUFFIX, code: bytes = b"") -> Path:
    """Return where the form of a declaration of any size would lie; where the declaration lies does not count."""
    found = hashlib.sha256(_code_digest() + code)
    base = _base_of(directory)
    for place in (directory, *([directory / base] if base is not None else [])):
        for path in _texts(place):
            content = path.read_bytes()
            found.update(f"{path.relative_to(place)}\0{len(content)}\0".encode())
            found.update(content)
    return store() / f"{found.hexdigest()}{suffix}"


def _texts(directory: Path) -> Iterator[Path]:
    yield from (path for file in (*OWN_FILES, *SHARED_FILES) if (path := directory / file).is_file())
    yield from sorted((directory / "overrides").glob("*.y*ml"))  # *.yml, which is refused, counts as well


def _base_of(directory: Path) -> str | None:
    """Return what `based_on` says, without the strict reader: where that refuses the file, nothing is compiled."""
    try:
        text = (directory / "nation.yaml").read_text(encoding="utf-8")
        found = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - every scalar stays text, as the reader has it
    except (OSError, ValueError, yaml.YAMLError):
        return None
    base = found.get("based_on") if isinstance(found, dict) else None
    return base if isinstance(base, str) else None


@cache
def _code_digest() -> bytes:
    """Return the hash of this room's code and of the library that encodes."""
    found = hashlib.sha256(msgspec.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()


def load(path: Path, *, today: date) -> Declared | None:
    """Return the compiled form at a path; None where there is none, and where an override is past its date.

    Reading the text says which override that is.
    """
    payload = unsealed(path)
    if payload is None:
        return None
    try:
        declaration, places = _decoder().decode(payload)
    except (msgspec.DecodeError, ValueError):
        return None
    if any(override.until < today for override in declaration.overrides):
        return None
    return declaration, places


def save(path: Path, declared: Declared) -> None:
    """Keep the compiled form of a sound declaration."""
    seal(path, msgspec.msgpack.encode(declared, enc_hook=str))


def unsealed(path: Path) -> bytes | None:
    """Return what a form holds, and mark it as used; None where there is none, or where it is damaged."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw[_DIGEST_BYTES:]).digest() != raw[:_DIGEST_BYTES]:
        return None
    _mark_used(path)
    return raw[_DIGEST_BYTES:]


def seal(path: Path, payload: bytes) -> None:
    """Write a form whole; where it cannot be written, it is made again next time. Those long unused are forgotten."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        Path(file.name).replace(path)
        forms = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda form: form.stat().st_mtime, reverse=True)
        for form in forms[KEPT:]:
            form.unlink(missing_ok=True)
    except OSError:
        return  # only time is lost


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return  # somebody else's form: it may be forgotten earlier


@cache
def _decoder() -> msgspec.msgpack.Decoder[Declared]:
    return msgspec.msgpack.Decoder(Declared, dec_hook=_decoded)


def _decoded(wanted: type, value: Any) -> Any:
    if wanted in (IPv4Network, IPv6Network):
        return wanted(value)
    raise NotImplementedError(f"no such type in a declaration: {wanted}")  # msgspec's word for what a hook cannot do
