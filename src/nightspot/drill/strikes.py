"""Ways to strike a Life: at a step, within a save, right after one. By what was seen, never by time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Mapping, Optional, Protocol, Sequence

from nightspot.drill.life import Scene, tell
from nightspot.drill.record import Blow
from nightspot.drill.seen import saves
from nightspot.drill.seen.said import Ears
from nightspot.drill.seen.saves import NUMBER
from nightspot.drill.seen.watcher import Watcher

NOTICE, KILL = "notice", "kill"
STEPS_TO_HEAR = 3  # what cannot be held may be far on when it is told
NOTE = "loading-"  # our library's, of a load that has begun


class Freezable(Protocol):
    """A program's processes as a whole; see `apart.tree.Tree`. kill: the machine goes, frozen or not."""

    def freeze(self) -> bool: ...

    def thaw(self) -> None: ...

    def writes_to(self, files: Iterable[Path]) -> Optional[Path]: ...

    def kill(self) -> None: ...


class Sight(Protocol):
    """What there must be to see of a Life to meet a save of it: a Scene has it, and an instance of the emulator's, too."""

    @property
    def program(self) -> Freezable: ...

    @property
    def ears(self) -> Ears: ...

    @property
    def watcher(self) -> Watcher: ...

    @property
    def writing(self) -> Sequence[str]: ...

    @property
    def index(self) -> int: ...

    def look(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Usual:
    """What a folder of checkpoints holds that nobody disturbed: see `saves.unfinished`. beside: kinds of names that are no checkpoints."""

    sizes_bytes: Mapping[str, Mapping[str, int]]
    beside: frozenset[str]

    def unfinished(self, scene: Sight, names: Iterable[str]) -> Optional[str]:
        """What of those is being written, in words; None where nothing is. The scene is frozen."""
        place = scene.watcher.place
        counted = [name for name in names if self.counts(name)]
        found = [saves.unfinished(place.folder, name, self.sizes_bytes) for name in counted]
        written = scene.program.writes_to(saves.files_of(place, counted))
        if written is not None:
            found.append(f"{written.relative_to(place.folder)} is open for writing")
        return next((one for one in found if one is not None), None)

    def counts(self, name: str) -> bool:
        """Whether it may be a checkpoint, or become one."""
        return NUMBER.sub("#", name) not in self.beside and not name.startswith(NOTE)


@dataclass(slots=True)
class _Held:
    """Once so many steps are done; the probe holds the training there, so that it is not one more."""

    step: int
    slowly: bool = field(default=False, init=False)
    waits: bool = field(default=True, init=False)

    @property
    def hold(self) -> Optional[int]:
        """There."""
        return self.step


@dataclass(slots=True)
class AtStep(_Held):
    """Killed there. What cannot be held may have begun a save by then: that is waited for."""

    usual: Usual

    def strike(self, scene: Scene) -> Optional[Blow]:
        """Kill."""
        if not arrived(scene, self.step) or (scene.by_lines and self._saves(scene)):
            return None
        scene.program.kill()
        return Blow(KILL, scene.index, f"killed after step {scene.index}")

    def _saves(self, scene: Scene) -> bool:
        """Whether it does just now; if not, it stands still."""
        if not scene.program.freeze():
            return True
        scene.look()
        saving = self.usual.unfinished(scene, saves.names(scene.watcher.place)) is not None
        if saving:
            scene.program.thaw()
        return saving


@dataclass(slots=True)
class OnNotice(_Held):
    """SIGTERM and the notice file there; killed when the grace is over, or when `latest` steps are done."""

    latest: int

    def strike(self, scene: Scene) -> Optional[Blow]:
        """Tell, wait for its end, and kill what is left."""
        if not arrived(scene, self.step):
            return None
        told_at, told_s = scene.index, time.monotonic()
        tell(scene)
        while scene.program.exit_code() is None and not self._over(scene, told_at, told_s):
            scene.wait()
            scene.look()
        left_by_itself = scene.program.exit_code() is not None
        scene.program.kill()
        event = "it left by itself" if left_by_itself else self._why(scene, told_s)
        return Blow(NOTICE, told_at, event)

    def _over(self, scene: Scene, told_at: int, told_s: float) -> bool:
        enough = max(self.latest, told_at + STEPS_TO_HEAR)
        return time.monotonic() - told_s > scene.settings.grace_s or scene.index >= enough

    def _why(self, scene: Scene, told_s: float) -> str:
        if time.monotonic() - told_s > scene.settings.grace_s:
            return f"it had not left after {scene.settings.grace_s:g} s, and was killed"
        return f"it trained on until step {scene.index}, and was killed"


def arrived(scene: Scene, step: int) -> bool:
    """Whether it stands there; where nothing can hold it, whether it has come that far."""
    return scene.index >= step if scene.by_lines else scene.ears.held == step


@dataclass(slots=True)
class InSave:
    """Killed within a save, once `after` others are whole."""

    usual: Usual
    after: int = 1
    slowly: bool = False
    waits: bool = False  # training goes on beside the save, as it would
    hold: Optional[int] = None

    def strike(self, scene: Sight) -> Optional[Blow]:
        """Freeze all of it at each change of the folder; kill if something is not finished, else let it go on."""
        names = [name for name in scene.writing if self.usual.counts(name)]
        if not names or whole_ones(scene) < self.after or not scene.program.freeze():
            return None
        scene.look()
        why = self.usual.unfinished(scene, names)
        if why is None:
            scene.program.thaw()
            return None
        index = scene.index
        scene.program.kill()
        return Blow(KILL, index, f"killed while it saved: {why}", torn=True)


def whole_ones(scene: Sight) -> int:
    """Checkpoints that were finished so far, each writing of the same name counted."""
    return max(len(scene.ears.told), len(scene.watcher.saved))


@dataclass(slots=True)
class AfterSave:
    """Killed as soon as save number `count`, from 1, is whole."""

    count: int
    by_protocol: bool
    slowly: bool = False
    waits: bool = True
    hold: Optional[int] = None

    def strike(self, scene: Scene) -> Optional[Blow]:
        """By the program's own word where it speaks our protocol, else once the file is closed or moved in, and is whole."""
        done = [one.name for one in (scene.ears.told if self.by_protocol else scene.watcher.saved)]
        if len(done) < self.count or not scene.program.freeze():
            return None
        scene.look()
        if not self.by_protocol and not saves.is_whole(scene.watcher.place.folder / done[-1]):
            scene.program.thaw()
            return None
        index = scene.index
        scene.program.kill()
        return Blow(KILL, index, f"killed right after {done[-1]} was saved")
