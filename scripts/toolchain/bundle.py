"""The bundle: one file with everything a set-up needs, sealed so that one changed byte is found first of all.

A bundle is a tar archive that ordinary `tar` can list. Its first member, `seal.json`, fills the first 1024 bytes
and names the SHA-256 of its own numbers and all that follows; its last, `manifest.json`, names every other member
with its place, size and SHA-256. Members under `files/` are files of the cache; those under `trees/` are tar
archives of whole folders (owners, links, capabilities kept).

This module uses the standard library alone and imports nothing of ours: on a bare machine the set-up runs it by its
path, with the machine's own Python, before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

FORMAT = "cgc-bundle 1"
SEAL_NAME = "seal.json"
MANIFEST_NAME = "manifest.json"
SEAL_BYTES = 2 * tarfile.BLOCKSIZE
REMEDY = "copy the bundle again, or make a new one with `cgc toolchain bundle FILE`"
_CHUNK_BYTES = 1 << 20
_TAR_KEEPS = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "--sparse")


class BundleDamagedError(Exception):
    """A bundle that is not what was sealed: `what` is wrong, and `where` in the file."""

    def __init__(self, what: str, where: str) -> None:
        self.what = what
        self.where = where
        super().__init__(f"{where}: {what}")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a bundle: its name, where its content begins in the file, how long it is, and its SHA-256."""

    name: str
    at_byte: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a sealed bundle says it holds; `about` is free for the maker (versions, digests of requirements)."""

    about: Mapping[str, Any]
    members: tuple[Member, ...]


def write(target: Path, *, files: Mapping[str, Path], trees: Mapping[str, Path], about: Mapping[str, Any]) -> Manifest:
    """Write a sealed bundle of *files* and *trees* (place in the cache -> where it lies now) to *target*, by rename."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("w+b") as stream:
            members = []
            stream.write(bytes(SEAL_BYTES))
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for place, source in sorted(files.items()):
                    members.append(_add(tar, stream, f"files/{place}", source, executable=os.access(source, os.X_OK)))
                for place, source in sorted(trees.items()):
                    with _packed(source, beside=target) as packed:
                        members.append(_add(tar, stream, f"trees/{place}.tar", packed, executable=False))
                manifest = Manifest(about=about, members=tuple(members))
                text = json.dumps({"about": dict(about), "members": [asdict(m) for m in members]}, indent=1).encode()
                manifest_at = stream.tell() + tarfile.BLOCKSIZE
                tar.addfile(_entry(MANIFEST_NAME, len(text), executable=False), io.BytesIO(text))
            size_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(SEAL_BYTES)
            numbers = {"manifest_at": manifest_at, "manifest_bytes": len(text), "size_bytes": size_bytes}
            digest = _digest_to_end(stream, begun_with=numbers)
            stream.seek(0)
            stream.write(_seal(digest, **numbers))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def verify(path: Path) -> Manifest:
    """Read the whole bundle and return its manifest; raises BundleDamagedError with the place of the damage."""
    with path.open("rb") as stream:
        head = stream.read(SEAL_BYTES)
        seal = _read_seal(head, path)
        stream.seek(SEAL_BYTES)
        numbers = {key: seal[key] for key in ("manifest_at", "manifest_bytes", "size_bytes")}
        digest = _digest_to_end(stream, begun_with=numbers)
        if _seal(digest, **numbers) != head:
            raise BundleDamagedError("the content is not what was sealed", _place_of_damage(stream, seal, path))
        return _read_manifest(stream, seal)


def unpack(path: Path, root: Path, manifest: Manifest, *, only: Sequence[str] = ()) -> list[str]:
    """Lay what a verified bundle holds into the folder *root*; what is there already stays. Returns what was laid.

    *only* names first parts of places (such as `wheels`) where less than everything is wanted. Files and trees
    appear by rename, the `record.json` of a folder last, so that an interrupted unpacking is resumed by unpacking
    again.
    """
    laid = []
    staging = root / f".unpack-{os.getpid()}"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(".unpack-*"):
        _remove_tree(left)
    staging.mkdir()
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            records_last = sorted(manifest.members, key=lambda member: member.name.endswith("/record.json"))
            for member in records_last:
                kind, _, place = member.name.partition("/")
                _refuse_outside(place, path, member)
                goal = root / (place.removesuffix(".tar") if kind == "trees" else place)
                if goal.exists() or (only and place.partition("/")[0] not in only):
                    continue
                draft = staging / "draft"
                if kind == "trees":
                    _unpack_tree(tar, member, draft)
                else:
                    _unpack_file(tar, member, draft)
                goal.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(goal)
                laid.append(place)
    finally:
        _remove_tree(staging)
    return laid


def _entry(name: str, size_bytes: int, *, executable: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size_bytes
    entry.mode = 0o755 if executable else 0o644
    return entry  # owner 0, time 0: the same content makes the same bundle


def _add(tar: tarfile.TarFile, stream: IO[bytes], name: str, source: Path, *, executable: bool) -> Member:
    with source.open("rb") as content:
        size_bytes = os.fstat(content.fileno()).st_size
        digest = _digest_to_end(content)
        content.seek(0)
        tar.addfile(_entry(name, size_bytes, executable=executable), content)
    padded = -(-size_bytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return Member(name=name, at_byte=stream.tell() - padded, size_bytes=size_bytes, sha256=digest)


@contextmanager
def _packed(folder: Path, *, beside: Path) -> Iterator[Path]:
    """Pack a whole folder as its owner sees it (root, where it belongs to root) into a temporary tar archive."""
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=beside.parent) as place:
        packed = Path(place) / "tree.tar"
        packed.touch()
        _run([*_as_root(), "tar", "-C", str(folder), *_TAR_KEEPS, "--sort=name", "-cf", str(packed), "."])
        yield packed


def _unpack_file(tar: tarfile.TarFile, member: Member, draft: Path) -> None:
    entry = tar.getmember(member.name)
    content = tar.extractfile(entry)
    if content is None:
        raise BundleDamagedError("is not a file", f"{member.name} (byte {member.at_byte})")
    with draft.open("wb") as stream:
        shutil.copyfileobj(content, stream, _CHUNK_BYTES)
        stream.flush()
        os.fsync(stream.fileno())
    draft.chmod(entry.mode & 0o777)


def _unpack_tree(tar: tarfile.TarFile, member: Member, draft: Path) -> None:
    content = tar.extractfile(member.name)
    if content is None:
        raise BundleDamagedError("is not a file", f"{member.name} (byte {member.at_byte})")
    draft.mkdir()
    command = [*_as_root(), "tar", "-C", str(draft), *_TAR_KEEPS, "-xpf", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if process.stdin is None or process.stderr is None:
            raise RuntimeError("tar was started without pipes")
        shutil.copyfileobj(content, process.stdin, _CHUNK_BYTES)
        process.stdin.close()
        said = process.stderr.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise OSError(f"{' '.join(command)}: {said.strip()}")


def _refuse_outside(place: str, path: Path, member: Member) -> None:
    if not place or place.startswith("/") or ".." in PurePosixPath(place).parts:
        raise BundleDamagedError(f"member {member.name!r} lies outside the cache", f"{path}, byte {member.at_byte}")


def _digest_to_end(stream: IO[bytes], begun_with: Mapping[str, int] | None = None) -> str:
    """Return the SHA-256 of the rest of the stream; a seal's sum begins with the seal's own numbers."""
    digest = hashlib.sha256(json.dumps(begun_with).encode() if begun_with else b"")
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _seal(sha256: str, *, manifest_at: int, manifest_bytes: int, size_bytes: int) -> bytes:
    """Return the first 1024 bytes of a bundle: a tar header and one block of JSON, the same for the same arguments."""
    told = {
        "format": FORMAT,
        "sha256": sha256,
        "manifest_at": manifest_at,
        "manifest_bytes": manifest_bytes,
        "size_bytes": size_bytes,
    }
    text = json.dumps(told).encode().ljust(tarfile.BLOCKSIZE - 1) + b"\n"
    return _entry(SEAL_NAME, len(text), executable=False).tobuf(tarfile.USTAR_FORMAT) + text


def _read_seal(head: bytes, path: Path) -> dict[str, Any]:
    where = f"{path}, bytes 0-{SEAL_BYTES - 1}"
    try:
        seal = json.loads(head[tarfile.BLOCKSIZE :])
        told = seal["format"]
        numbers = [seal[key] for key in ("manifest_at", "manifest_bytes", "size_bytes")]
    except (ValueError, KeyError, TypeError) as err:
        raise BundleDamagedError(f"the seal cannot be read ({err}): not a bundle, or damaged", where) from err
    if told != FORMAT:
        raise BundleDamagedError(f"the format is {told!r}, known is {FORMAT!r}", where)
    size_bytes = path.stat().st_size
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or numbers[2] != size_bytes:
        raise BundleDamagedError(f"{size_bytes} bytes long, sealed with {numbers[2]}", str(path))
    if numbers[0] + numbers[1] > size_bytes:
        raise BundleDamagedError("the manifest would lie outside the file", where)
    return dict(seal)


def _read_manifest(stream: IO[bytes], seal: Mapping[str, Any]) -> Manifest:
    stream.seek(seal["manifest_at"])
    raw = json.loads(stream.read(seal["manifest_bytes"]))
    return Manifest(about=raw["about"], members=tuple(Member(**member) for member in raw["members"]))


def _place_of_damage(stream: IO[bytes], seal: Mapping[str, Any], path: Path) -> str:
    """Name the member whose content changed, or the part of the file between members."""
    try:
        manifest = _read_manifest(stream, seal)
    except (ValueError, KeyError, TypeError):
        first = seal["manifest_at"]
        return (
            f"{path}, manifest (bytes {first}-{first + seal['manifest_bytes'] - 1}) or seal (bytes 0-{SEAL_BYTES - 1})"
        )
    for member in manifest.members:
        stream.seek(member.at_byte)
        digest, left = hashlib.sha256(), member.size_bytes
        while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
        if digest.hexdigest() != member.sha256:
            return f"{path}, {member.name} (bytes {member.at_byte}-{member.at_byte + member.size_bytes - 1})"
    return f"{path}, the seal, the manifest or the space between members"


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        _run([*_as_root(), "rm", "-rf", "--one-file-system", str(folder)])


def main(arguments: Sequence[str], *, say: Callable[[str], None]) -> int:
    """Unpack a bundle into a cache: `bundle.py FILE ROOT`. Exit code 0, or 2 when the bundle is refused."""
    parser = argparse.ArgumentParser(prog="bundle.py", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        manifest = verify(given.file)
        laid = unpack(given.file, given.root, manifest, only=given.only)
    except BundleDamagedError as err:
        say(f"CGC-810 {err.where}: {err.what}; {REMEDY}")
        return 2
    except OSError as err:
        say(f"CGC-811 {given.file}: cannot be unpacked: {err}; check path, rights and free space of {given.root}")
        return 1
    took = f"{time.monotonic() - started:.0f} s"
    say(f"bundle verified, {len(laid)} of {len(manifest.members)} members unpacked in {took}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], say=lambda text: print(text, file=sys.stderr)))
