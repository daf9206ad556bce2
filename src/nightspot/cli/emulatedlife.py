"""One incarnation of a training job of the drill's emulator, seen from outside: its disk lies on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Iterator, Optional, Sequence

from nightspot.drill import record_probe
from nightspot.drill.record import Blow, Durable, Life, Logged, Touch
from nightspot.drill.seen import saves
from nightspot.drill.seen.lives import Pace, saved_at, tail, told_by, untold
from nightspot.drill.seen.said import Ears, content, losses_in
from nightspot.drill.settings import Place

# The wrapper's folder beside the synced one: there before the program begins, and never in the bucket.
BESIDE = "/opt/ml/.nightspot"
STAGING = ".nightspot-staging"  # beside that: where nightspot.checkpoint writes what it then moves into the synced one
PROBE, PROGRESS, OUTPUT, RELEASE, NOTICE = "probe.jsonl", "progress.jsonl", "output.log", "release", "notice.json"
WRITES = ("rename", "save")


@dataclass(slots=True)
class Incarnation:
    """disk: of the instance, gone when that is; own: a folder on the same file system, where what it says outlives it."""

    disk: Path
    own: Path
    ears: Ears
    held: set[int] = field(default_factory=set)

    @classmethod
    def begin(cls, disk: Path, own: Path, loss_pattern: Optional[str]) -> Incarnation:
        """OSError where the folder cannot be made."""
        own.mkdir(parents=True)
        losses = own / OUTPUT if loss_pattern is not None else None
        return cls(disk, own, Ears.of(own / PROBE, own / PROGRESS, losses, loss_pattern))

    @property
    def beside(self) -> Path:
        """The wrapper's folder."""
        return self.disk / "ml" / PurePosixPath(BESIDE).name

    @property
    def staging(self) -> Path:
        """Where nightspot.checkpoint writes."""
        return self.disk / "ml" / STAGING

    @property
    def alive(self) -> bool:
        """Whether the instance is there."""
        return self.disk.exists()

    def look(self) -> Optional[int]:
        """All that was said since; the steps after which it has begun to be held, once for each hold."""
        for file in (self.beside / PROBE, self.beside / PROGRESS, self.disk / OUTPUT):
            kept = self.own / file.name
            if (
                not kept.exists()
            ):  # a second name for the same file: it stays when the disk goes, with all that comes until then
                with suppress(OSError):
                    os.link(file, kept)
        self.ears.listen()
        held = self.ears.held
        if held is None or held in self.held:
            return None
        self.held.add(held)
        return held

    def release(self, held: int) -> None:
        """What is held goes on."""
        with suppress(OSError):  # it has just been lost
            (self.beside / f"{RELEASE}.{held}").touch()

    @property
    def told(self) -> bool:
        """Whether the wrapper has heard of its end."""
        return (self.beside / NOTICE).exists()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a Life beside what it said. bucket: a copy of its checkpoints as they lie there; found: whole ones that it began
    with; shown: the checkpoint folder, as the program sees it."""

    number: int
    exit_code: int
    blow: Optional[Blow]
    seconds: float
    bucket: Place
    found: Sequence[str]
    shown: PurePosixPath
    loss_pattern: Optional[str]
    more: str = ""


def life_of(incarnation: Incarnation, seen: Seen, pace: Pace) -> Life:
    """Its record."""
    own = incarnation.own
    probed = record_probe.parse(content(own / PROBE).decode("utf-8", "replace"))
    return Life(
        number=seen.number,
        steps=probed.steps,
        logged=_logged(own, seen.loss_pattern),
        touches=probed.touches,
        durables=tuple(_durables(incarnation, seen, pace, probed)),
        exit_code=seen.exit_code,
        blow=seen.blow,
        probed=probed.torch and bool(probed.steps),
        seconds=seen.seconds,
        tail=tail(own / OUTPUT) + seen.more,
    )


def _logged(own: Path, pattern: Optional[str]) -> tuple[Logged, ...]:
    return () if pattern is None else losses_in(content(own / OUTPUT), b"", pattern)


def _durables(incarnation: Incarnation, seen: Seen, pace: Pace, probed: record_probe.Probed) -> Iterator[Durable]:
    """By the protocol where it speaks it, else by what it wrote; whether that came to the bucket says `Blow.left`."""
    ears, steps = incarnation.ears, len(probed.steps)
    told = list(told_by(ears, seen.number, pace, steps))
    if told or ears.began_units is not None:
        yield from told
        known = {*seen.found, *[one.name for one in told]}
        yield from untold(seen.bucket, ears, seen.number, pace, known, steps)
    else:
        yield from _written(seen, probed.touches)


def _written(seen: Seen, touches: Sequence[Touch]) -> Iterator[Durable]:
    """Each writing of a checkpoint; the last one of a name has the digest of what came to the bucket."""
    names = [name for touch in touches if (name := _name(touch, seen)) is not None]
    for name in dict.fromkeys(names):
        path, nth = seen.bucket.folder / name, 0
        while (at := saved_at(touches, name, nth)) is not None:
            last = saved_at(touches, name, nth + 1) is None
            yield Durable(name, saves.digest(path) if last and path.exists() else "", seen.number, at)
            nth += 1


def _name(touch: Touch, seen: Seen) -> Optional[str]:
    """Of the checkpoint that it writes."""
    if touch.what not in WRITES or touch.path is None:
        return None
    path = PurePosixPath(touch.path)
    if seen.shown not in path.parents:
        return None
    name = path.relative_to(seen.shown).parts[0]
    return name if saves.counts(name, seen.bucket.pattern) else None
