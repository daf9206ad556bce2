"""Where a script saves, when nobody has said it: the probe saw what it wrote."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence

from nightspot.drill.apart.mounts import holds_program
from nightspot.drill.record import Life
from nightspot.drill.seen.saves import NUMBER, counts
from nightspot.drill.settings import Place, Settings

# Where our library makes checkpoints, nothing is to be found out.
SNAPSHOT, SAVE, RENAME = "snapshot", "save", "rename"


def checkpoints_of(settings: Settings, lives: Sequence[Life]) -> Optional[Settings]:
    """The settings with the folder that a baseline saved to; None where it is known, or nothing was saved."""
    touches = [touch for life in lives for touch in life.touches]
    if settings.named or any(life.durables for life in lives) or any(touch.what == SNAPSHOT for touch in touches):
        return None
    renamed = {touch.detail: touch.path for touch in touches if touch.what == RENAME}
    saved = [Path(renamed.get(touch.path) or touch.path) for touch in touches if touch.what == SAVE and touch.path]
    saved = [path for path in saved if path != settings.artifact and counts(path.name, None)]
    if not saved:
        return None
    folder = Counter([path.parent for path in saved]).most_common(1)[0][0]
    watched = Place(folder, _pattern(saved, folder) if holds_program(folder, settings) else None)
    survives = (folder,) if settings.survives == (settings.watched.folder,) else settings.survives
    return replace(settings, watched=watched, survives=survives, named=True)


def _pattern(saved: Sequence[Path], folder: Path) -> str:
    """For the files in a folder that holds other things, too."""
    kinds = Counter([NUMBER.sub("*", path.name) for path in saved if path.parent == folder])
    return kinds.most_common(1)[0][0]


def told(settings: Settings) -> str:
    """What was found, and how to say it in the job file."""
    place = settings.watched
    where = place.folder if place.pattern is None else place.folder / place.pattern
    return f'checkpoints were found in {where}; [drill] checkpoints = "{where}" says so at once'
