"""A training on paper: the same arithmetic of states as a real one, with every way to forget one of them. Milliseconds, no process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Sequence

from nightspot.drill.record import Artefact, Blow, Case, Durable, Life, Logged, Step, Touch, Training

EPOCH, EPOCHS = 5, 4
STEPS = EPOCH * EPOCHS
LOAD, SAVE, LOADER, SCHEDULER = "train.py:10", "train.py:20", "train.py:30", "train.py:40"


def mixed(*parts: Any) -> str:
    """A digest."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@dataclass
class State:
    """All that a step depends on."""

    step: int = 0
    weights: str = "made"
    optimizer: str = "empty"
    random: str = "seeded"
    scheduled: int = 0


@dataclass
class Paper:
    """A script. lost: names of states that it does not restore, 'all': it never loads; late: epochs by which it begins too late (or early).

    shuffled: by the random state at the epoch's beginning, not by the epoch; noise: what differs from run to run; seen: by the probe.
    single: always the same file; damage is noticed, and then it begins anew.
    """

    lost: frozenset[str] = frozenset()
    late: int = 0
    shuffled: bool = False
    noise: float = 0.0
    run: int = 0
    seen: bool = True
    single: bool = False
    kept: dict[str, State] = field(default_factory=dict)
    order: Any = None  # of the epoch's data

    def live(self, number: int, stop: Optional[int], spoilt: Optional[str] = None) -> tuple[Life, State]:
        """One Life: from what is kept to step `stop` of it, or to the end. spoilt: the checkpoint whose weights are changed."""
        state, loaded = self._begin(spoilt)
        steps: list[Step] = []
        durables: list[Durable] = []
        touches = [Touch("loader", 0, where=LOADER), Touch("scheduler", 0, where=SCHEDULER), *loaded]
        due = STEPS - state.step + self.late * -EPOCH if loaded else STEPS
        while len(steps) < min(due, due if stop is None else stop):
            steps.append(self._step(state, len(steps)))
            if state.step % EPOCH == 0:
                name = "last.pth" if self.single else f"ckpt-{state.step // EPOCH:04d}.pt"
                self.kept[name] = replace(state)
                durables.append(Durable(name, mixed(state), number, len(steps)))
                touches.append(Touch("save", len(steps), f"/checkpoints/{name}", SAVE))
        logged = tuple(Logged(None, step.loss or "") for step in steps)
        blow = None if stop is None else Blow("kill", len(steps), left=tuple(sorted(self.kept)))
        code = 0 if stop is None else 137
        given = tuple(steps) if self.seen else ()
        return Life(number, given, logged, tuple(touches), tuple(durables), code, blow, self.seen, 1.0, ""), state

    def _begin(self, spoilt: Optional[str]) -> tuple[State, list[Touch]]:
        if self.single and spoilt is not None:
            self.kept.clear()
        if not self.kept or "all" in self.lost:
            return State(), []
        name = max(self.kept)
        fresh, saved = State(), replace(self.kept[name])
        touches = [Touch("load", 0, f"/checkpoints/{name}", LOAD)]
        for part in ("optimizer", "scheduled", "random"):
            if part in self.lost:
                setattr(saved, part, getattr(fresh, part))
            else:
                touches.append(Touch("load_state_dict", 0, where=LOAD, detail=f"{part}: X"))
        saved.weights = mixed(saved.weights) if spoilt == name else saved.weights
        return saved, touches

    def _step(self, state: State, done: int) -> Step:
        epoch, position = divmod(state.step + self.late * EPOCH * (state.step > done), EPOCH)
        order = (state.random if position == 0 else self.order) if self.shuffled else epoch
        self.order = order
        batch, rate = mixed("batch", order, position), 0.5 ** (state.scheduled // EPOCH)
        parts = (state.weights, batch, state.random, self.noise and self.run)
        loss = 1 / (1 + state.step) + int(mixed(*parts), 16) / 16**12 * (self.noise or 0.01)
        step = Step(
            done,
            repr(loss),
            batch,
            (rate,),
            state.weights,
            None,
            state.optimizer,
            f"python=p{self.run} torch={state.random}",
        )
        state.weights, state.optimizer = mixed(parts, state.optimizer, rate), mixed(state.optimizer, batch, parts)
        state.random, state.step, state.scheduled = mixed(state.random), state.step + 1, state.scheduled + 1
        return replace(step, after=state.weights)

    def train(self, case: Optional[Case] = None, stops: Sequence[int] = (), spoil: Optional[str] = None) -> Training:
        """Killed after each of `stops` steps of a Life. spoil: the checkpoint that is damaged after the first."""
        lives = []
        for number, stop in enumerate([*stops, None]):
            life, state = self.live(number, stop, spoil)
            if spoil is not None and life.blow is not None:
                life = replace(life, blow=replace(life.blow, damaged=spoil))
            lives.append(life)
        return Training(
            case, tuple(lives), Artefact("model.pt", state.weights, {"a.weight": "same", "b.weight": state.weights})
        )
