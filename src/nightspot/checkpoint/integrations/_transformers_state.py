"""What a Hugging Face Trainer holds besides its model: optimizer and scheduler, which it makes late, and its own counters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from nightspot.checkpoint.errors import ConfigError

# Sums that Trainer keeps between two lines of its log; older ones keep the first in a local variable, out of reach.
SUMS = ("_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "_initial_global_step")


class Later:
    """The state of an object that will be made when training starts: keeps what was saved until then."""

    places_itself = True  # loading copies to where the object lives

    def __init__(self, name: str) -> None:
        self._name = name
        self._live: Any = None
        self._saved: Any = None

    def state_dict(self) -> dict[str, Any]:
        """Of the object, once there is one."""
        state: dict[str, Any] = {} if self._live is None else self._live.state_dict()
        return state

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Keeps it for `bind`."""
        self._saved = saved

    def bind(self, live: Any) -> None:
        """Here is the object. Raises ConfigError if what was saved does not fit it."""
        self._live, saved, self._saved = live, self._saved, None
        if saved is None:
            return
        here, before = (_groups(state) for state in (live.state_dict(), saved))
        if here != before:
            raise ConfigError(f"the {self._name} is another: parameters in its groups: {before} saved, {here} here")
        live.load_state_dict(saved)


class Counters:
    """TrainerState as Trainer writes it to trainer_state.json, states of callbacks, and sums between two lines of the log."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._saved: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Taken between two steps."""
        trainer = self._trainer
        trainer.store_flos()
        return {
            "state": json.loads(json.dumps(dataclasses.asdict(trainer.state))),
            "callbacks": [[type(callback).__name__, attributes] for callback, attributes in self._stateful()],
            "sums": {name: getattr(trainer, name) for name in SUMS if hasattr(trainer, name)},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Keeps it: Trainer makes its state anew when it starts."""
        self._saved = saved

    @property
    def trainer_state(self) -> str | None:
        """What trainer_state.json must say for Trainer to go on from there; None at the beginning."""
        return None if self._saved is None else json.dumps(self._saved["state"])

    def put_back(self) -> None:
        """Trainer has begun, and has read its `trainer_state`."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        for (callback, _), (name, attributes) in zip(self._stateful(), saved["callbacks"], strict=False):
            if type(callback).__name__ == name:
                vars(callback).update(attributes)
        if hasattr(self._trainer, SUMS[0]):
            for name, value in saved["sums"].items():
                setattr(self._trainer, name, value.to(self._trainer.args.device) if name == SUMS[0] else value)

    def _stateful(self) -> list[tuple[Any, dict[str, Any]]]:
        """Callbacks that say what they hold, as EarlyStoppingCallback does."""
        callbacks = self._trainer.callback_handler.callbacks
        return [(it, it.state()["attributes"]) for it in callbacks if callable(getattr(it, "state", None))]


def _groups(state: Mapping[str, Any]) -> list[int]:
    """Of an optimizer; a scheduler has none."""
    return [len(group["params"]) for group in state.get("param_groups", ())]
