"""Hugging Face Trainer: `night = NightspotCallback(folder="checkpoints")`, then `night.train(trainer)`; see docs/integrations.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.integrations._frameworks import find
from nightspot.checkpoint.integrations._night import Night, say
from nightspot.checkpoint.integrations._transformers_data import Draws, Reread, has_order, watch
from nightspot.checkpoint.integrations._transformers_state import Counters, Later
from nightspot.checkpoint.workers import SeededByIndex

transformers = find(("transformers",), (4, 44), "nightspot[transformers]")


class NightspotCallback(transformers.TrainerCallback):  # type: ignore[misc, name-defined, unused-ignore]
    """Makes a Trainer interruptible at any moment: it goes on in mid epoch, bit for bit.

    `night.train(trainer)` stands for `trainer.train()`: a callback alone is asked too late where to go on from.
    folder: for checkpoints, as in Session; nightspot's environment comes first. unit: of `units_done`, "epoch" or "step".
    states: whatever else changes and is neither in the model nor in a callback (a generator that its forward draws from, say).
    workers_draw: False: loader workers draw nothing at random, so a resume may skip what it has had unread.
    session: further arguments of Session (interval, keep, fingerprint, ...).

    Raises TypeError, ValueError for such arguments; in `train` SystemExit(75) on notice, SystemExit(78) for a wrong set-up.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None,
        unit: str = "epoch",
        states: Mapping[str, object] | None = None,
        workers_draw: bool = True,
        **session: Any,
    ) -> None:
        self._night = Night(folder, unit, session)
        self._workers_draw = workers_draw
        self._more = dict(states or {})
        self._trainer: Any = None
        self._resumed = self._begun = False

    def train(self, trainer: Any, **arguments: Any) -> Any:
        """`trainer.train(**arguments)` from the newest checkpoint on; returns what it returns."""
        self._trainer = trainer
        found = self._night.open(lambda: self._states(trainer, arguments))
        self._resumed = found is not None
        with self._night.closing_on_error(), self._in_charge(trainer) as folder:
            return trainer.train(resume_from_checkpoint=folder, **arguments)

    def done(self, metrics: Mapping[str, float] | None = None, facts: Mapping[str, str] | None = None) -> None:
        """After `train`, once the artefact is written: see Session.done. Not called, the exit code alone must tell."""
        self._night.done(self._units(), metrics, facts)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - Trainer passes all
        """Optimizer and scheduler exist: what was saved of them goes where Trainer has just loaded nothing."""
        if not self._night.is_open:
            self._night.refuse(
                "trainer.train() cannot go on from a checkpoint of ours: call night.train(trainer) instead"
            )
        self._optimizer.bind(self._trainer.optimizer)
        self._scheduler.bind(self._trainer.lr_scheduler)
        self._counters.put_back()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """A dataset of ours hears of the epoch: Trainer forgets to tell it in the one it resumes in."""
        if isinstance(self._trainer.train_dataset, SeededByIndex):
            self._trainer.train_dataset.set_epoch(int(state.epoch or 0))

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Between two steps, when log, evaluation and callbacks of the one before are done: here all states agree."""
        if self._begun:
            log = self._trainer.state.log_history
            metrics = {
                name: value for name, value in (log[-1] if log else {}).items() if isinstance(value, (int, float))
            }
            self._night.session.step(self._units(), metrics)
        elif self._resumed:
            self._draws.forget()
            self._night.continue_random()  # after the step's batches were drawn, as when it was saved
        self._begun = True

    def _states(self, trainer: Any, arguments: Mapping[str, Any]) -> dict[str, object]:
        if refusal := wrong_use(trainer, self, arguments):
            raise ConfigError(refusal)
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        self._optimizer, self._scheduler = Later("optimizer"), Later("scheduler")
        self._counters = Counters(trainer)
        self._draws = Draws(ahead=trainer.args.gradient_accumulation_steps + 1)
        made = {
            "optimizer": self._optimizer,
            "scheduler": self._scheduler,
            "trainer": self._counters,
            "draws": self._draws,
        }
        scaler = getattr(trainer.accelerator, "scaler", None)
        return {"model": trainer.model, **made, **({} if scaler is None else {"scaler": scaler}), **self._more}

    @contextmanager
    def _in_charge(self, trainer: Any) -> Iterator[str | None]:
        """Trainer resumes from a folder that holds nothing but its counters: everything else is restored by us."""
        get_loader, skip = trainer.get_train_dataloader, transformers.trainer.skip_first_batches
        trainer.get_train_dataloader = lambda: self._watched(get_loader())
        trainer._load_from_checkpoint = lambda *_, **__: None
        transformers.trainer.skip_first_batches = lambda loader, had=0: (
            loader.after(had) if isinstance(loader, Reread) else skip(loader, had)
        )
        try:
            with TemporaryDirectory(prefix="nightspot-") as folder:
                counters = self._counters.trainer_state
                if counters is not None:
                    (Path(folder) / "trainer_state.json").write_text(counters)
                yield None if counters is None else folder
        finally:
            transformers.trainer.skip_first_batches = skip
            for name in ("get_train_dataloader", "_load_from_checkpoint"):
                vars(trainer).pop(name, None)

    def _watched(self, loader: Any) -> Any:
        for doubt in doubts(loader, self._trainer.args.gradient_accumulation_steps, workers_draw=self._workers_draw):
            say(f"warning: {doubt}")
        if self._resumed and loader.num_workers > 0 and self._workers_draw:
            say("this epoch's batches are read once more up to the checkpoint: workers draw again what they drew")
        return watch(loader, self._draws, workers_draw=self._workers_draw)

    def _units(self) -> float:
        state = self._trainer.state
        return float(state.global_step if self._night.unit == "step" else state.epoch or 0.0)


def wrong_use(trainer: Any, callback: NightspotCallback, arguments: Mapping[str, Any]) -> str | None:
    """Why this training cannot be made interruptible; None if it can."""
    args = trainer.args
    if arguments.get("resume_from_checkpoint") or args.resume_from_checkpoint:
        return "resume_from_checkpoint is given: NightspotCallback decides what training goes on from; leave it out"
    if any(
        isinstance(other, NightspotCallback) and other is not callback for other in trainer.callback_handler.callbacks
    ):
        return "two NightspotCallbacks in one Trainer: expected one"
    if args.world_size > 1 or trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return "the Trainer has several processes, or shards its model: this callback checkpoints one; see docs/integrations.md"
    if args.ignore_data_skip:
        return "ignore_data_skip = True trains on data that it has had: expected False"
    if trainer.model_init is not None or args.auto_find_batch_size:
        return "model_init and auto_find_batch_size begin training anew: pass a model, and a batch size that fits"
    return None


def doubts(loader: Any, accumulated: int, *, workers_draw: bool) -> Iterator[str]:
    """What may keep a resume from being exact, as far as it can be seen from outside."""
    if loader.num_workers > 0 and workers_draw and loader.persistent_workers:
        yield "persistent workers: what they draw at random after the first epoch differs after a resume"
    if not has_order(loader):
        if loader.num_workers == 0:
            yield "a stream: where it draws from the global random state it draws something else after a resume"
    elif int(transformers.__version__.split(".")[0]) < 5 and len(loader) % accumulated:
        yield (
            f"transformers {transformers.__version__} loses its place on a resume where an epoch's {len(loader)} batches "
            f"are no multiple of gradient_accumulation_steps = {accumulated}: expected 5 or newer, or a multiple"
        )
