"""PyTorch Lightning: `trainer = pl.Trainer(callbacks=[NightspotCallback(folder="checkpoints")])`; see docs/integrations.md.

Works with `pytorch_lightning` and with `lightning.pytorch`, whichever the program has imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.integrations import _lightning_data as data
from nightspot.checkpoint.integrations import _lightning_state as state
from nightspot.checkpoint.integrations._frameworks import find
from nightspot.checkpoint.integrations._night import Night, say

pl = find(("pytorch_lightning", "lightning.pytorch"), (2, 2), "nightspot[lightning]")


class NightspotCallback(pl.Callback):  # type: ignore[misc, name-defined, unused-ignore]
    """Makes `Trainer.fit` interruptible at any moment: it goes on in mid epoch, bit for bit.

    folder: for checkpoints, as in Session; nightspot's environment comes first. unit: of `units_done`, "epoch" or "step".
    states: whatever else changes and is in no module, callback or datamodule (generators of a dataset, say).
    session: further arguments of Session (interval, keep, fingerprint, ...).

    Raises TypeError, ValueError for such arguments; in fit SystemExit(75) on notice, SystemExit(78) for a wrong set-up.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None,
        unit: str = "epoch",
        states: Mapping[str, object] | None = None,
        **session: Any,
    ) -> None:
        super().__init__()
        self._night = Night(folder, unit, session)
        self._more = dict(states or {})
        self._fit_loop: Any = None
        self._loss: Any = None
        self._resumed = self._begun = False

    def done(self, metrics: Mapping[str, float] | None = None, facts: Mapping[str, str] | None = None) -> None:
        """After `fit`, once the artefact is written: see Session.done. Not called, the exit code alone must tell."""
        self._night.done(self._units(), metrics, facts)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning passes both
        """Everything is on its device: go on from the newest checkpoint. Lightning's own signal handlers come after this."""
        self._fit_loop = trainer.fit_loop
        self._state, self._position = state.TrainerState(trainer), data.Position(trainer)
        self._resumed = self._night.open(lambda: self._states(trainer)) is not None
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch")
        epoch_loop = trainer.fit_loop.epoch_loop
        epoch_loop.on_run_start = partial(self._start_epoch, epoch_loop.on_run_start)
        epoch_loop.advance = partial(self._advance, epoch_loop.advance)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """The data is loaded, and Lightning listens to signals."""
        self._night.listen_alone()
        for doubt in doubts(trainer, self._position.way):
            say(f"warning: {doubt}")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
        """Keeps the loss to report; it is read from its device only when it is reported."""
        loss: Any = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self._loss = loss if hasattr(loss, "numel") and loss.numel() == 1 else None

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """The session stays open for `done`; a notice from here on changes nothing."""
        self._let_go()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Also our own SystemExit(75) passes here."""
        self._let_go()
        self._night.close(exception)

    def _states(self, trainer: Any) -> dict[str, object]:
        if refusal := wrong_use(trainer):
            raise ConfigError(refusal)
        return {"lightning": self._state, "data": self._position, **self._more}

    def _start_epoch(self, start: Callable[[Any], None], fetcher: Any) -> None:
        """Around the moment when an epoch's iterator is made, or is to be brought to where the checkpoint was."""
        loop = self._fit_loop.epoch_loop
        if self._resumed:
            start(fetcher)
            self._state.data_is_loaded()
            self._position.resume(fetcher, self._epoch, loop.batch_progress.current.ready)
            self._night.continue_random()
        else:
            self._state.new_epoch()
            self._position.before_iterator(self._epoch)
            start(fetcher)
            self._position.before_first_batch()
        self._resumed = False

    def _advance(self, advance: Callable[[Any], None], fetcher: Any) -> None:
        """Between two batches, when hooks, schedulers and validation of the one before are done: here all states agree."""
        if self._begun and not self._accumulating():
            metrics = {} if self._loss is None else {"loss": self._loss}
            self._night.session.step(self._units(), metrics)
        self._begun = True
        advance(fetcher)

    @property
    def _epoch(self) -> int:
        """Epochs that are over."""
        return int(self._fit_loop.epoch_progress.current.processed)

    def _accumulating(self) -> bool:
        """Gradients of batches before are not in the weights yet, and no checkpoint holds them."""
        every = self._fit_loop.trainer.accumulate_grad_batches
        return bool(self._fit_loop.epoch_loop.batch_progress.current.ready % every)

    def _units(self) -> float:
        if self._night.unit == "step":
            return float(self._fit_loop.trainer.global_step)
        progress = self._fit_loop.epoch_progress.current
        if progress.started == progress.processed:  # between two epochs, or at the end
            return float(self._epoch)
        return float(self._epoch + self._fit_loop.epoch_loop.batch_progress.current.ready / self._fit_loop.max_batches)

    def _let_go(self) -> None:
        if self._fit_loop is not None:  # else fit failed before it came to us
            for name in ("on_run_start", "advance"):
                vars(self._fit_loop.epoch_loop).pop(name, None)


def wrong_use(trainer: Any) -> str | None:
    """Why this fit cannot be made interruptible; None if it can."""
    if trainer.ckpt_path is not None:
        return f"fit(ckpt_path={str(trainer.ckpt_path)!r}): NightspotCallback decides what training goes on from; leave it out"
    if sum(isinstance(callback, NightspotCallback) for callback in trainer.callbacks) > 1:
        return "two NightspotCallbacks in one Trainer: expected one"
    if trainer.world_size > 1:
        return (
            f"the Trainer has {trainer.world_size} processes: this callback checkpoints one; see docs/integrations.md"
        )
    if not getattr(trainer.strategy, "lightning_restore_optimizer", True):
        return f"{type(trainer.strategy).__name__} keeps its own checkpoints of the optimizer: expected one device"
    return None


def doubts(trainer: Any, way: str) -> Iterator[str]:
    """What may keep a resume from being exact, as far as it can be seen from outside."""
    loaders = trainer.fit_loop._combined_loader.flattened
    workers = [loader for loader in loaders if getattr(loader, "num_workers", 0) > 0]
    if way != data.REPLAY and workers:
        yield "workers that draw random numbers draw others after a resume: wrap the dataset in SeededByIndex"
    if way == data.REPLAY and any(loader.persistent_workers for loader in workers):
        yield "persistent_workers: what workers draw at random differs after a resume: wrap the dataset in SeededByIndex"
    if not trainer.lightning_module.automatic_optimization:
        yield "manual optimization: saves between any two batches; gradients you accumulate over several are not saved"
    if trainer.reload_dataloaders_every_n_epochs:
        yield "reload_dataloaders_every_n_epochs: data that train_dataloader() draws at random is other data after a resume"
