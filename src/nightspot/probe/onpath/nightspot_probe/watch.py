"""What the probe knows of a process: steps done, the last loss, batches handed out; and the moment at which it holds."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, Callable, Mapping, Optional

from nightspot_probe import digest
from nightspot_probe.lines import Lines
from nightspot_probe.place import place

MOST_BATCHES = 16  # of those handed out between two steps, the last ones are told
MOST_TOUCHES = 5000
POLL_S = 0.005


class Watch:
    """Called from the hooks; writes the lines. `torch` is the imported module."""

    def __init__(self, torch: Any, lines: Lines, environment: Mapping[str, str]) -> None:
        self.torch, self.lines = torch, lines
        self.holds = {int(one) for one in environment.get("NIGHTSPOT_PROBE_HOLD", "").split(",") if one.strip()}
        self.release = environment.get("NIGHTSPOT_PROBE_RELEASE")
        self.index = self.touches = 0
        self.loss: Optional[str] = None
        self.unscaled: Optional[str] = None
        self.batches: deque[str] = deque(maxlen=MOST_BATCHES)
        self.inputs: deque[str] = deque(maxlen=MOST_BATCHES)
        self.begun: dict[int, dict[str, Any]] = {}
        self.looking, self.handing_out = True, False
        self.on_first_step: Callable[[bool], None] = lambda _loaders: None

    def see(self, look: Callable[..., None], *what: Any) -> None:
        """Run one of the methods below; a fault of the probe is told once and ends its looking, not the training."""
        if not self.looking:
            return
        try:
            with self.torch.no_grad():
                look(*what)
        except Exception as error:
            self.looking = False
            self.lines.say("fault", detail=f"{type(error).__name__}: {error}")

    def backward(self, tensors: Any) -> None:
        """The loss is the scalar that backward was called on, the last one before the step; as it was before a scaler scaled it."""
        first = tensors[0] if isinstance(tensors, (list, tuple)) and tensors else tensors
        unscaled, self.unscaled = self.unscaled, None
        if isinstance(first, self.torch.Tensor) and first.numel() == 1:
            self.loss = unscaled or repr(float(first.detach()))

    def scaled(self, outputs: Any) -> None:
        """A gradient scaler multiplies this, and backward is called on what comes of it."""
        if isinstance(outputs, self.torch.Tensor) and outputs.numel() == 1:
            self.unscaled = repr(float(outputs.detach()))

    def handed_out(self, batch: Any) -> None:
        """A loader's iterator gave this to the training."""
        self.batches.append(digest.of_values(self.torch, batch))

    def went_in(self, values: Any) -> None:
        """Inputs of an outermost module: of scripts without a loader they are the batch. What carries gradients depends on the weights."""
        walk = digest.Walk(self.torch)
        walk.walk(values, 0)
        walk.tensors = [tensor for tensor in _leaves(self.torch, values) if not tensor.requires_grad]
        self.inputs.append(walk.digest())

    def before_step(self, optimizer: Any) -> None:
        """Of the optimizer that is about to step: parameters, states, rates."""
        parameters = _parameters(optimizer)
        self.begun[id(optimizer)] = {
            "lrs": [float(group["lr"]) for group in optimizer.param_groups if "lr" in group],
            "before": digest.of_tensors(self.torch, parameters),
            "optimizer": digest.of_values(self.torch, [optimizer.state.get(one) for one in parameters]),
            "random": digest.of_random_states(self.torch),
        }

    def after_step(self, optimizer: Any) -> None:
        """The step is done: tell it."""
        begun = self.begun.pop(id(optimizer), None)
        if begun is None:
            return
        if self.index == 0:
            self.on_first_step(bool(self.batches))
        batch = ",".join(self.batches or self.inputs) or None
        after = digest.of_tensors(self.torch, _parameters(optimizer))
        self.lines.say("step", index=self.index, loss=self.loss, batch=batch, after=after, **begun)
        self.index, self.loss = self.index + 1, None
        self.batches.clear()
        self.inputs.clear()

    def wait_if_due(self) -> None:
        """Hold here until killed or released. Python's signal handlers run meanwhile."""
        if self.lines.mute or self.index not in self.holds:
            return
        self.holds.remove(self.index)
        self.lines.say("held", index=self.index)
        while not self._released():
            time.sleep(POLL_S)
        self.lines.say("released", index=self.index)

    def _released(self) -> bool:
        """From this hold, or from all."""
        known = (self.release, f"{self.release}.{self.index}") if self.release is not None else ()
        return any(os.path.exists(path) for path in known)  # noqa: PTH110

    def touch(self, what: str, path: Any = None, detail: Optional[str] = None) -> None:
        """The training did something to a file or a state."""
        self.touches += 1
        if self.touches <= MOST_TOUCHES:
            shown = name_of(path)
            self.lines.say("touch", what=what, index=self.index, path=shown, where=place(), detail=detail)


def _leaves(torch: Any, values: Any) -> list[Any]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        return [leaf for value in values for leaf in _leaves(torch, value)]
    return []


def _parameters(optimizer: Any) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def name_of(file: Any) -> Optional[str]:
    """The path of a path, or of an open file."""
    file = file if isinstance(file, (str, bytes, os.PathLike)) else getattr(file, "name", None)
    if isinstance(file, (str, bytes, os.PathLike)):
        return os.path.abspath(os.fsdecode(file))  # noqa: PTH100
    return None
