"""A Lightning Trainer as a state of a Session: its own dump, and beside it what that leaves out in the middle of an epoch.

Used by `lightning.py` alone. Touches Lightning's protected names, for there are no public ones: `_checkpoint_connector`
(dump and restore), `_logger_connector` and the loops' results. Checked with Lightning 2.2 and 2.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nightspot.checkpoint.errors import ConfigError

# Lightning writes these for load_from_checkpoint() and never reads them when it resumes; they may hold any object.
NOT_STATE = (
    "hyper_parameters",
    "hparams_name",
    "hparams_type",
    "datamodule_hyper_parameters",
    "datamodule_hparams_name",
    "datamodule_hparams_type",
)
METRICS = ("_callback_metrics", "_logged_metrics", "_progress_bar_metrics")
Dump = dict[str, Any]


class TrainerState:
    """Model, optimizers, schedulers, scaler, loops, callbacks and datamodule, as Lightning dumps and restores them.

    Beside them: metrics that schedulers and callbacks look at, sums of the running epoch, torchmetrics, `should_stop`.
    """

    places_itself = True  # every load here copies to where its object lives

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._connector = trainer._checkpoint_connector
        self._beside: Mapping[str, Any] = {}

    def state_dict(self) -> Dump:
        """References to live tensors."""
        dump = self._connector.dump_checkpoint(weights_only=False)
        dump = {name: value for name, value in dump.items() if name not in NOT_STATE}
        return {"dump": dump, "beside": beside(self._trainer)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Raises ConfigError for another model or other optimizers, before anything changes."""
        dump = dict(saved["dump"])
        _compare(self.state_dict()["dump"], dump)
        self._connector._loaded_checkpoint = dump
        try:
            self._connector.restore_model()
            self._connector.restore_datamodule()
            self._connector.restore_callbacks()
            self._connector.restore_training_state()
        finally:
            self._connector._loaded_checkpoint = {}
        self._beside = saved["beside"]
        put_beside(self._trainer, self._beside)

    def data_is_loaded(self) -> None:
        """By this process, at an epoch that may be another than the one when its predecessor did."""
        fit_loop = self._trainer.fit_loop
        forget_restart(fit_loop)
        fit_loop._last_train_dl_reload_epoch = self._beside["train_loaded_at"]
        fit_loop.epoch_loop.val_loop._last_val_dl_reload_epoch = self._beside["val_loaded_at"]

    def new_epoch(self) -> None:
        """Sums begin anew."""
        vars(self._trainer.fit_loop.epoch_loop._results).pop("update_metrics", None)


def forget_restart(loop: Any) -> None:
    """A checkpoint of ours lies between two batches: nothing is half done, so no loop needs Lightning's guesses of what was.

    They would skip a validation, or a step of a scheduler that looks at metrics, until the end of the epoch.
    """
    loop._restarting = False
    for child in vars(loop).values():
        if hasattr(child, "_restarting") and hasattr(child, "trainer"):
            forget_restart(child)


def beside(trainer: Any) -> Dump:
    """What Lightning keeps for a whole epoch or longer and does not dump."""
    epoch_loop = trainer.fit_loop.epoch_loop
    return {
        "should_stop": trainer.should_stop,
        "train_loaded_at": trainer.fit_loop._last_train_dl_reload_epoch,
        "val_loaded_at": epoch_loop.val_loop._last_val_dl_reload_epoch,
        "metrics": {name: dict(getattr(trainer._logger_connector, name)) for name in METRICS},
        "results": {key: _sums(result) for key, result in epoch_loop._results.items() if _running(result)},
        "torchmetrics": {name: _metric(metric) for name, metric in _metrics(trainer.lightning_module)},
    }


def put_beside(trainer: Any, saved: Mapping[str, Any]) -> None:
    """The opposite of `beside`, but for when data was loaded: see `data_is_loaded`."""
    trainer.should_stop = saved["should_stop"]
    for name in METRICS:
        getattr(trainer._logger_connector, name).update(saved["metrics"][name])
    for name, metric in _metrics(trainer.lightning_module):
        if name in saved["torchmetrics"]:
            _put_metric(metric, saved["torchmetrics"][name])
    _continue_results(trainer.fit_loop.epoch_loop._results, dict(saved["results"]))


def _compare(here: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    ours, theirs = (_shapes(dump["state_dict"]) for dump in (here, saved))
    for name in ours | theirs:
        if ours.get(name) != theirs.get(name):
            raise ConfigError(
                f"the checkpoint is another model's: {name} was {theirs.get(name, 'not there')}, "
                f"is {ours.get(name, 'not here')}; start in an empty folder"
            )
    groups, before = (
        [[len(group["params"]) for group in optimizer["param_groups"]] for optimizer in dump["optimizer_states"]]
        for dump in (here, saved)
    )
    if groups != before:
        raise ConfigError(f"other optimizers: parameters in their groups: {before} saved, {groups} here")


def _shapes(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items() if hasattr(tensor, "shape")}


def _running(result: Any) -> bool:
    return bool(result.is_tensor and not result.has_reset)


def _sums(result: Any) -> dict[str, Any]:
    """A logged value's sum over the epoch so far."""
    return {name: getattr(result, name) for name in ("value", "cumulated_batch_size") if hasattr(result, name)}


def _continue_results(results: Any, sums: dict[str, dict[str, Any]]) -> None:
    """Lightning makes the place for a logged value when it is logged first: there the sum goes on."""
    update = results.update_metrics

    def go_on(key: str, value: Any, batch_size: int) -> None:
        for name, total in sums.pop(key, {}).items():
            setattr(results[key], name, total.to(value.device))
        update(key, value, batch_size)

    if sums:
        results.update_metrics = go_on


def _metrics(module: Any) -> Iterator[tuple[str, Any]]:
    """torchmetrics: their states are not in a module's state_dict unless asked for."""
    for name, child in module.named_modules():
        if hasattr(child, "_defaults") and hasattr(child, "_update_count"):
            yield name, child


def _metric(metric: Any) -> dict[str, Any]:
    states = {name: getattr(metric, name) for name in metric._defaults}
    return {"states": states, "updates": metric._update_count}


def _put_metric(metric: Any, saved: Mapping[str, Any]) -> None:
    for name, value in saved["states"].items():
        several = isinstance(value, list)
        setattr(metric, name, [item.to(metric.device) for item in value] if several else value.to(metric.device))
    metric._update_count, metric._computed = saved["updates"], None
