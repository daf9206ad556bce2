"""Which Checkpoints in a bucket are durable, from what a listing and their manifests say. Of a script's own files: ownfiles.py."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping

from nightspot.backends.aws.store import Object
from nightspot.checkpoint.manifest import MANIFEST, MANIFEST_LIMIT_BYTES, Manifest, number, read

# What does not fit together for so long is damaged, and not just on its way (market seconds).
DAMAGED_S = 300.0
CANDIDATES_MAX = 8
_IN_MANIFEST = re.compile(rf"(?P<folder>(?:.*/)?(?P<name>step-\d{{9,18}})/){re.escape(MANIFEST)}")
Listing = Mapping[str, Object]


@dataclass(frozen=True, slots=True)
class Durable:
    """One Checkpoint that would survive anything now."""

    name: str
    units_done: float
    digest: str = ""
    verified: bool = True


class TornError(Exception):
    """It is not what was written, or not yet all there. Says what is wrong."""


@dataclass(slots=True)
class Manifests:
    """Checkpoints with a manifest: durable once that is whole and every file it names is there, of the right size."""

    get: Callable[[str, int], bytes | None]
    _wrong_since_utc: dict[str, float] = field(default_factory=dict)
    _known: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def newest(self, listing: Listing, now_utc: float) -> Durable | None:
        """The newest whole one; None where there is none. Fills `damaged` with newer ones that will not become whole any more."""
        found = [match for name in listing if (match := _IN_MANIFEST.fullmatch(name)) is not None]
        found.sort(key=lambda match: number(match["name"]), reverse=True)
        for match in found[:CANDIDATES_MAX]:
            try:
                manifest = self._manifest(listing, match)
            except TornError as error:
                self._wrong(match["folder"].rstrip("/"), str(error), now_utc)
                continue
            return Durable(manifest.name, manifest.head.units_done, manifest.digest)
        return None

    def _wrong(self, name: str, what: str, now_utc: float) -> None:
        since_utc = self._wrong_since_utc.setdefault(name, now_utc)
        if now_utc - since_utc >= DAMAGED_S:
            self.damaged[name] = what

    def _manifest(self, listing: Listing, match: re.Match[str]) -> Manifest:
        there = listing[match[0]]
        manifest = self._known.get((there.name, there.etag)) or self._read(there, match["name"])
        for file in manifest.files:
            size_bytes = (
                listing[match["folder"] + file.name].size_bytes if match["folder"] + file.name in listing else None
            )
            if size_bytes is None:
                raise TornError(f"{file.name} is missing")
            if size_bytes != file.size_bytes:
                raise TornError(f"{file.name} has {size_bytes} bytes, not {file.size_bytes}")
        self._known[there.name, there.etag] = manifest
        return manifest

    def _read(self, there: Object, name: str) -> Manifest:
        raw = self.get(there.name, MANIFEST_LIMIT_BYTES) if there.size_bytes <= MANIFEST_LIMIT_BYTES else None
        if raw is None:
            raise TornError("its manifest cannot be had, or is too large to be one")
        return checked(raw, name)


def checked(raw: bytes, name: str) -> Manifest:
    """A manifest's bytes, checked against themselves by the very code that training restores with. TornError where they are damaged."""
    with tempfile.TemporaryDirectory(prefix="nightspot-") as folder:
        place = Path(folder) / name
        place.mkdir()
        (place / MANIFEST).write_bytes(raw)
        try:
            return read(place)
        except (
            Exception
        ) as error:  # damaged, or of a format this version does not know: either way nobody restores it from here
            if isinstance(error, OSError):
                raise
            raise TornError(str(error)) from error
