"""An unmodified script's own files in the bucket: which are whole, and which are torn. By the job file's pattern; never verified.

SageMaker's agent copies a file while it is being written, and the instance may go before the other half comes.
"""

from __future__ import annotations

import io
import math
import re
import time
import zipfile
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Callable, Iterator, Sequence

from nightspot.backends.aws.checkpoints import Durable, Listing
from nightspot.backends.aws.notes import Line
from nightspot.backends.aws.store import UPLOADING, Object
from nightspot.model.attempt import Phase
from nightspot.process.pattern import ARCHIVE, numbering

# A file counts once it has not changed for longer than SageMaker's agent takes between two looks of its own (market seconds).
SETTLED_S = 90.0
# Between the bucket's clock, which tells whole seconds, and ours (real seconds).
CLOCKS_S = 2.0
# A mark that is so much younger than its file is of a later upload, and not of the one that brought the file (real seconds).
LATER_UPLOAD_S = 5.0
TAIL_BYTES = 1 << 16
# So many bytes of an object from an offset on; None where it is no longer that very object.
Part = Callable[[Object, int, int], "bytes | None"]


class Verdict(Enum):
    """What is known of a file. UNSAID: it may still be coming, or nobody can say."""

    WHOLE = "whole"
    TORN = "torn"
    UNSAID = "unsaid"


@dataclass(frozen=True, slots=True)
class Life:
    """When an Attempt's program ran: spans of market time. What was certainly written after `over_utc` is not of this Attempt."""

    spans: tuple[tuple[float, float], ...]
    writes: bool
    over_utc: float


def life(lines: Sequence[Line], now_utc: float, end_utc: float | None = None) -> Life:
    """From what was told. `end_utc`: when the Attempt ended, None while it goes on."""
    phases = [line for line in lines if line.get("kind") == "phase"]
    until_utc = now_utc if end_utc is None else end_utc
    ends_utc = [*(float(line["at_utc"]) for line in phases[1:]), until_utc]
    pairs = list(zip(phases, ends_utc, strict=False))
    spans = [(float(one["at_utc"]), over_utc) for one, over_utc in pairs if one["phase"] == Phase.TRAINING.value]
    writes = end_utc is None and bool(phases) and phases[-1]["phase"] in (Phase.TRAINING.value, Phase.STOPPING.value)
    queued = bool(phases) and phases[-1]["phase"] == Phase.QUEUED.value
    # What is stopped is copied once more after it has ended.
    return Life(tuple(spans), writes, float(phases[-1]["at_utc"]) if queued else now_utc)


@dataclass(slots=True)
class Files:
    """Looks at the files of one Run. Numbers above `most` count something else than units. `time_scale`: market seconds in a real one."""

    pattern: str
    most: float
    part: Part
    time_scale: float = 1.0
    _looked_utc: float = -math.inf
    _written: dict[Object, tuple[float, float]] = field(default_factory=dict)
    _archives: dict[Object, bool | None] = field(default_factory=dict)

    def look(self, listing: Listing, of: Life, now_utc: float) -> tuple[Durable | None, list[Object]]:
        """The newest whole file; and the torn ones above it, once nobody can be writing to them any more."""
        self._remember(listing, now_utc)
        torn: list[Object] = []
        counted = sorted(self._counted(listing), key=lambda pair: (pair[0], pair[1].modified_utc), reverse=True)
        for units_done, one in counted:
            verdict = self._verdict(one, listing.get(one.name + UPLOADING), of, now_utc)
            if verdict is Verdict.WHOLE:
                return Durable(PurePosixPath(one.name).name, units_done, verified=False), torn
            if verdict is Verdict.TORN and not of.writes and self._written[one][0] <= of.over_utc:
                torn.append(one)
        return None, torn

    def _remember(self, listing: Listing, now_utc: float) -> None:
        self._written = {one: self._written.get(one) or self._between(one, now_utc) for one in listing.values()}
        self._archives = {one: told for one, told in self._archives.items() if one in self._written}
        self._looked_utc = now_utc

    def _between(self, one: Object, now_utc: float) -> tuple[float, float]:
        """When it was written, at the earliest and at the latest: after the last look, and as the bucket says."""
        if not one.modified_utc:
            return self._looked_utc, now_utc
        told_utc = now_utc - (time.time() - one.modified_utc) * self.time_scale
        slack_s = CLOCKS_S * self.time_scale
        return max(self._looked_utc, told_utc - slack_s), min(now_utc, told_utc + slack_s)

    def _verdict(self, one: Object, mark: Object | None, of: Life, now_utc: float) -> Verdict:
        """SageMaker's agent leaves some of its marks behind: one that does not change any more marks nothing."""
        there = [it for it in (one, mark) if it is not None]
        if of.writes and any(now_utc - self._written[it][1] < SETTLED_S for it in there):
            return Verdict.UNSAID
        if one.size_bytes == 0:
            return Verdict.TORN
        if one not in self._archives:
            try:
                self._archives[one] = whole_archive(one.size_bytes, lambda start, count: self.part(one, start, count))
            except ChangedError:
                return Verdict.UNSAID
        whole = self._archives[one]
        if whole is None:
            later = mark is not None and mark.modified_utc - one.modified_utc > LATER_UPLOAD_S
            return self._settled(self._written[one], of, later=later)
        return Verdict.WHOLE if whole else Verdict.TORN

    def _settled(self, written: tuple[float, float], of: Life, *, later: bool) -> Verdict:
        """A file that tells nothing of being whole: the agent would have come again while the same program went on."""
        earliest_utc, latest_utc = written
        if not later and any(a <= earliest_utc and latest_utc + SETTLED_S <= z for a, z in of.spans):
            return Verdict.WHOLE
        ours = bool(of.spans) and earliest_utc >= of.spans[0][0]
        return Verdict.TORN if ours else Verdict.UNSAID

    def _counted(self, listing: Listing) -> Iterator[tuple[float, Object]]:
        names = numbering(self.pattern)
        for one in listing.values():
            match = names.fullmatch(PurePosixPath(one.name).name)
            groups = [group for group in (match.groups() if match else ()) if group is not None]
            numbers = [float(n) for group in groups for n in re.findall(r"[0-9]+", group)]
            counted = [n for n in numbers if n <= self.most]
            if counted and not one.name.endswith(UPLOADING):
                yield max(counted), one


class ChangedError(Exception):
    """It is another object by now."""


def whole_archive(size_bytes: int, part: Callable[[int, int], bytes | None]) -> bool | None:
    """Whether a zip archive, as torch saves them, has its end, and all that its directory names lies before that; None for another file.

    part: so many bytes from an offset on, None where the object has changed: then ChangedError is raised. An object in the bucket is
    what one look at the file found: a part from its beginning. So only its ends are fetched.
    """
    seen = Seen(size_bytes, part)
    if not ARCHIVE.startswith(seen.read(len(ARCHIVE))):
        return None
    try:
        with zipfile.ZipFile(seen) as archive:
            return min((member.header_offset for member in archive.infolist()), default=-1) == 0
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return False


class Seen(io.RawIOBase):
    """An object as a file to be read, of which only the parts that are asked for are fetched; its end is fetched once."""

    def __init__(self, size_bytes: int, part: Callable[[int, int], bytes | None]) -> None:
        self._size_bytes, self._part, self._at = size_bytes, part, 0
        self._tail_at, self._tail = max(0, size_bytes - TAIL_BYTES), b""

    def readable(self) -> bool:
        """See io."""
        return True

    def seekable(self) -> bool:
        """See io."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io. OSError before the beginning, as for a file."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        if at < 0:
            raise OSError(f"{at} is before the beginning")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        """See io."""
        count = max(0, min(len(buffer), self._size_bytes - self._at))
        found = self._bytes(self._at, count) if count else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _bytes(self, start: int, count: int) -> bytes:
        if start < self._tail_at:
            return self._fetched(start, count)
        if not self._tail:
            self._tail = self._fetched(self._tail_at, self._size_bytes - self._tail_at)
        return self._tail[start - self._tail_at :][:count]

    def _fetched(self, start: int, count: int) -> bytes:
        found = self._part(start, count)
        if found is None or len(found) != count:
            raise ChangedError
        return found


def aside_name(one: Object) -> str:
    """What a torn file is called where it is set aside: two of one name are two."""
    return f"{one.name}.{one.etag}"


def words_of(one: Object, where: str | None, trouble: object = None) -> str:
    """For people."""
    name = f"{one.name} ({one.size_bytes} bytes) was not copied whole before the instance went"
    if trouble is None:
        return f"{name}: moved to {where}, and the one before counts"
    return f"{name}, and cannot be moved away: {trouble}. Remove it from the bucket, or training begins with it again"
