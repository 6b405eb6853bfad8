"""Writing container images as OCI archives: one uncompressed layer each, the same bytes for the same content.

umoci was tried and left: it compresses every layer with gzip, which costs seconds per image on the way in and again on
the way out, for files that never leave this machine. The layout is the OCI image specification 1.0 (image-layout.md,
manifest.md, config.md); containerd takes an image's name from the annotation `io.containerd.image.name`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Content:
    """One entry of an image's root: a file of this machine, a text, a link to another path, or an empty directory."""

    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How a container of the image starts: its command, environment, and user ("" is root)."""

    entrypoint: tuple[str, ...]
    environment: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    user: str = ""
    working_directory: str = "/"


@dataclass(frozen=True, kw_only=True)
class ContainerImage:
    """A finished image: its full name with tag, and its OCI archive."""

    name: str
    archive: Path


class _HashingWriter(io.RawIOBase):
    """A file that knows the SHA-256 and the length of what was written to it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = hashlib.sha256()
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self.digest.update(chunk)
        self.length += len(chunk)
        return self._file.write(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


def _entry(path: str, content: Content) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode = content.mode
    if content.link is not None:
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, content.link, 0o777
    elif content.source is not None:
        entry.size = content.source.stat().st_size
    elif content.text is not None:
        entry.size = len(content.text.encode())
    else:
        entry.type = tarfile.DIRTYPE
    return entry


def _write_layer(target: Path, contents: Mapping[str, Content]) -> tuple[str, int]:
    """Write a layer; returns its SHA-256 and length in bytes. Order, owner and times do not depend on the machine."""
    directories = {str(parent) for path in contents for parent in PurePosixPath(path).parents if str(parent) != "."}
    with _HashingWriter(target) as hashing:
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.PAX_FORMAT) as layer:
            for path in sorted(directories | contents.keys()):
                content = contents.get(path, Content(mode=0o755))
                entry = _entry(path, content)
                if content.source is not None and content.link is None:
                    with content.source.open("rb") as file:
                        layer.addfile(entry, file)
                else:
                    layer.addfile(entry, io.BytesIO((content.text or "").encode()))
        return hashing.digest.hexdigest(), hashing.length


def write_image(archive: Path, *, name: str, contents: Mapping[str, Content], settings: ImageSettings) -> None:
    """Write the OCI archive of an image; *contents* maps paths below the root (without a leading /) to entries."""
    layer = archive.with_name(f"{archive.name}.layer")
    layer_digest, layer_length = _write_layer(layer, contents)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": EPOCH,
            "config": {
                "Entrypoint": list(settings.entrypoint),
                "Env": list(settings.environment),
                "User": settings.user,
                "WorkingDir": settings.working_directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": EPOCH, "created_by": "rehearsal"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _described("application/vnd.oci.image.config.v1+json", config),
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": f"sha256:{layer_digest}",
                    "size": layer_length,
                }
            ],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                _described("application/vnd.oci.image.manifest.v1+json", manifest)
                | {
                    "platform": {"architecture": "amd64", "os": "linux"},
                    "annotations": {
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                    },
                }
            ],
        }
    )
    unfinished = archive.with_name(f"{archive.name}.new")
    with tarfile.open(unfinished, mode="w", format=tarfile.PAX_FORMAT) as whole:
        for path, text in (("oci-layout", _json({"imageLayoutVersion": "1.0.0"})), ("index.json", index)):
            _add_bytes(whole, path, text)
        for blob in (config, manifest):
            _add_bytes(whole, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        entry = tarfile.TarInfo(f"blobs/sha256/{layer_digest}")
        entry.size = layer_length
        with layer.open("rb") as file:
            whole.addfile(entry, file)
    layer.unlink()
    unfinished.replace(archive)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _described(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _add_bytes(archive: tarfile.TarFile, path: str, blob: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size = len(blob)
    archive.addfile(entry, io.BytesIO(blob))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
