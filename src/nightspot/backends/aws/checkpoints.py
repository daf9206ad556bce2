"""Which Checkpoints in a bucket are durable, from what a listing shows. Nothing but manifests is read."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Callable, Iterator, Mapping

from nightspot.backends.aws.store import UPLOADING, Object
from nightspot.checkpoint.manifest import MANIFEST, MANIFEST_LIMIT_BYTES, Manifest, number, read
from nightspot.process.pattern import numbering

# A file counts once it has not changed for longer than SageMaker's agent takes between two looks of its own (market seconds).
SETTLED_S = 90.0
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


@dataclass(slots=True)
class Files:
    """An unmodified script's own files, by the job file's pattern. Never verified. Numbers above `most` count something else than units."""

    pattern: str
    most: float
    _since_utc: dict[Object, float] = field(default_factory=dict)

    def newest(self, listing: Listing, now_utc: float) -> Durable | None:
        """The highest number whose file has not changed from one look to another, for longer than a sync takes."""
        self._since_utc = {one: self._since_utc.get(one, now_utc) for one in listing.values()}
        counted = [(units, one) for units, one in self._counted(listing) if self._settled(one, listing, now_utc)]
        if not counted:
            return None
        units_done, best = max(counted, key=lambda pair: pair[0])
        return Durable(PurePosixPath(best.name).name, units_done, verified=False)

    def _settled(self, one: Object, listing: Listing, now_utc: float) -> bool:
        """SageMaker's agent leaves some of its marks behind: one that does not change any more marks nothing."""
        marks = [mark for mark in (listing.get(one.name + UPLOADING),) if mark is not None]
        return one.size_bytes > 0 and all(now_utc - self._since_utc[it] >= SETTLED_S for it in (one, *marks))

    def _counted(self, listing: Listing) -> Iterator[tuple[float, Object]]:
        names = numbering(self.pattern)
        for one in listing.values():
            match = names.fullmatch(PurePosixPath(one.name).name)
            groups = [group for group in (match.groups() if match else ()) if group is not None]
            numbers = [float(n) for group in groups for n in re.findall(r"[0-9]+", group)]
            counted = [n for n in numbers if n <= self.most]
            if counted and not one.name.endswith(UPLOADING):
                yield max(counted), one
