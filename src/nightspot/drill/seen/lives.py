"""From what was seen of a Life to its record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, Optional, Sequence

from nightspot.checkpoint.errors import CheckpointError
from nightspot.checkpoint.manifest import MANIFEST, read
from nightspot.drill import record_probe
from nightspot.drill.around import OUTPUT, PROBE
from nightspot.drill.life import Played
from nightspot.drill.record import Blow, Durable, Life, Logged, Touch
from nightspot.drill.seen import saves
from nightspot.drill.seen.said import Ears, content, losses_in
from nightspot.drill.settings import Place

TAIL_LINES, TAIL_CHARACTERS = 30, 4000


@dataclass(frozen=True, slots=True)
class Pace:
    """How units are steps: of the whole training. None: not known."""

    steps: int = 0
    units: Optional[float] = None

    def steps_of(self, units: float) -> Optional[int]:
        """The steps that so many units are, if they are as long as each other."""
        if not self.units or not self.steps:
            return None
        return round(units * self.steps / self.units)


def record(played: Played, number: int, losses_before: bytes, pace: Pace, found_before: Sequence[str]) -> Life:
    """number: from 1. found_before: names of the whole checkpoints that it found."""
    scene = played.scene
    text = content(scene.own / PROBE).decode("utf-8", "replace")
    probed = record_probe.parse(text)
    counted = probed.touches if probed.steps else ()  # else the probe counts no steps: the watcher does, by lines
    durables = _durables(played, number, counted, pace, found_before, len(probed.steps))
    return Life(
        number=number,
        steps=probed.steps,
        logged=_logged(played, losses_before),
        touches=probed.touches,
        durables=tuple(durables),
        exit_code=played.exit_code,
        blow=played.blow,
        probed=probed.torch and bool(probed.steps),
        seconds=played.seconds,
        tail=tail(scene.own / OUTPUT),
    )


def _logged(played: Played, before: bytes) -> tuple[Logged, ...]:
    settings, scene = played.scene.settings, played.scene
    if settings.loss_pattern is not None:
        return losses_in(content(scene.own / OUTPUT), b"", settings.loss_pattern)
    if settings.losses is None:
        return ()
    return losses_in(content(scene.machine.real(settings.losses)), before, None)


def _durables(
    played: Played, number: int, touches: Sequence[Touch], pace: Pace, before: Sequence[str], steps: int
) -> Iterator[Durable]:
    """By the protocol where the program speaks it; else the files that were closed or moved in. And what nobody told of yet."""
    ears = played.scene.ears
    told = list(told_by(ears, number, pace, steps))
    yield from told or _written(played, number, touches)
    known = {*before, *[one.name for one in told]}
    if told or ears.began_units is not None:
        yield from untold(played.scene.watcher.place, ears, number, pace, known, steps)


def told_by(ears: Ears, number: int, pace: Pace, steps: int) -> Iterator[Durable]:
    """What Life `number` said that it saved, by the protocol. steps: that it did."""
    began, done = ears.began_units or 0.0, ears.done_units
    if pace.units is None and done:
        pace = Pace(steps, done - began)
    for told in ears.told:
        at = None if told.units_done is None else pace.steps_of(told.units_done - began)
        yield Durable(told.name, told.digest, number, told.index if at is None else at, told.units_done)


def untold(place: Place, ears: Ears, number: int, pace: Pace, known: set[str], steps: int) -> Iterator[Durable]:
    """Committed, and the program was killed before it could say so. known: names that are somebody else's, or told."""
    began = ears.began_units or 0.0
    for path in reversed(saves.newest_first(place)):
        if path.name not in known and (path / MANIFEST).is_file():
            try:
                head = read(path)
            except (CheckpointError, OSError):
                continue
            at = pace.steps_of(head.head.units_done - began)
            yield Durable(path.name, head.digest, number, steps if at is None else at, head.head.units_done)


def _written(played: Played, number: int, touches: Sequence[Touch]) -> Iterator[Durable]:
    watcher = played.scene.watcher
    last = {one.name: position for position, one in enumerate(watcher.saved)}
    nth: Counter[str] = Counter()
    for position, one in enumerate(watcher.saved):
        path = watcher.place.folder / one.name
        at = saved_at(touches, one.name, nth[one.name])
        nth[one.name] += 1
        if position != last[one.name] or not path.exists():
            yield Durable(one.name, "", number, one.index if at is None else at)
        elif saves.is_whole(path):
            yield Durable(one.name, saves.digest(path), number, one.index if at is None else at)


def saved_at(touches: Sequence[Touch], name: str, nth: int) -> Optional[int]:
    """When the script itself began to write it, or put it in its place: the probe counts exactly, and the watcher a moment later."""
    for what in ("rename", "save"):
        mine = [t for t in touches if t.what == what and t.path is not None and name in Path(t.path).parts[-2:]]
        if nth < len(mine):
            return mine[nth].at_index
    return None


def after(life: Life, blow: Blow) -> Life:
    """With what was done to its files afterwards."""
    return replace(life, blow=blow)


def tail(output: Path) -> str:
    """The last lines it printed."""
    text = content(output)[-TAIL_CHARACTERS * 4 :].decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]
