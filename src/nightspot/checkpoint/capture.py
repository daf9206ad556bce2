"""Live objects -> trees and tensors, and back. What is durable, and where, is not decided here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from nightspot.checkpoint import _numpy, _torch
from nightspot.checkpoint.errors import ConfigError, StateError
from nightspot.checkpoint.many import states as many
from nightspot.checkpoint.tree import Decoder, Encoder, Tensors

RANDOM = "random"  # the name under which the global random states travel
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_OF_RANKS = re.compile(r"ranks?-[\d-]+")  # how names in the index begin that not all ranks have in common
Access = tuple[Callable[[], object], Callable[[Any], object]]
Trees = Mapping[str, Any]  # state's name -> JSON values


@dataclass(frozen=True, slots=True)
class Captured:
    """All states at one moment. tensors: by key; live memory, so they must be copied before training goes on."""

    trees: Trees
    tensors: Mapping[str, Any]

    def split(self, own: Container[str]) -> tuple[bytes, bytes]:
        """The trees as JSON: those that are equal on all ranks, and those of the states in `own`."""
        shared = {name: tree for name, tree in self.trees.items() if name not in own}
        return _text(shared), _text({name: tree for name, tree in self.trees.items() if name in own})


def check_states(states: Mapping[str, object]) -> None:
    """Raises ValueError for a name, and StateError for an object, that cannot be a state."""
    for name, value in states.items():
        if not _NAME.fullmatch(name) or name == RANDOM or _OF_RANKS.fullmatch(name):
            raise ValueError(
                f"state name {name!r}: expected a letter, then letters, digits, - or _; not 'random', not like 'rank-0'"
            )
        access(value, name, states)


def capture(states: Mapping[str, object], random_states: object) -> Captured:
    """All states. Raises StateError where one holds something that cannot be kept exactly."""
    tensors = Tensors()
    trees = {name: Encoder(tensors).encode(access(value, name, states)[0](), name) for name, value in states.items()}
    trees[RANDOM] = Encoder(tensors).encode(random_states, RANDOM)
    return Captured(trees, tensors.by_key)


def decode(
    trees: Trees, states: Mapping[str, object], tensor: Callable[[Mapping[str, Any]], Any]
) -> tuple[dict[str, Any], Any]:
    """Saved states by name, and the random states; nothing live changes.

    tensor: from a placeholder to its tensor, in CPU memory.
    Raises ConfigError if the names differ, or a module or an optimizer has another shape.
    """
    saved_trees = dict(trees)
    random_states = Decoder(tensor).decode(saved_trees.pop(RANDOM))
    _compare_names(states, saved_trees)
    saved = {}
    for name, tree in saved_trees.items():
        value = states[name]
        placed = _torch.places_itself(value) or getattr(value, "places_itself", False)  # as those of integrations/ say
        saved[name] = Decoder(tensor if placed else partial(_to_device, tensor)).decode(tree)
        if (why := _torch.mismatch(value, access(value, name, states)[0], saved[name])) is not None:
            raise ConfigError(f"state '{name}' does not fit this program: {why}")
    return saved, random_states


def put_back(states: Mapping[str, object], saved: dict[str, Any]) -> None:
    """Load every saved state into its live object. Empties `saved` as it goes, so that memory is let go early."""
    for name, value in states.items():
        access(value, name, states)[1](saved.pop(name))


def access(value: Any, name: str, states: Mapping[str, object]) -> Access:
    """How to read and write the state of an object, one of `states`. Raises StateError for one that has none."""
    if (special := many.access(value, states)) is not None:
        return special
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return value.state_dict, value.load_state_dict
    if isinstance(value, dict):
        return lambda: dict(value), partial(_replace, value)
    if isinstance(value, Random):
        return value.getstate, value.setstate
    found = _numpy.generator_access(value) or _torch.generator_access(value)
    if found is None:
        raise StateError(
            f"state '{name}' is a {type(value).__qualname__}: expected state_dict and load_state_dict, "
            "a dict, or a random generator of python, numpy or torch"
        )
    return found


def _to_device(tensor: Callable[[Mapping[str, Any]], Any], placeholder: Mapping[str, Any]) -> Any:
    """Where it was saved from: nobody else would bring it there."""
    return tensor(placeholder).to(placeholder["device"])


def _compare_names(states: Mapping[str, object], saved: Mapping[str, object]) -> None:
    if missing := sorted(states.keys() - saved.keys()):
        raise ConfigError(f"states the checkpoint does not have: {', '.join(missing)}")
    if extra := sorted(saved.keys() - states.keys()):
        raise ConfigError(f"states only the checkpoint has: {', '.join(extra)}; they would be lost")


def _text(trees: Trees) -> bytes:
    return json.dumps(trees, allow_nan=False, separators=(",", ":")).encode()


def _replace(live: dict[Any, Any], saved: Mapping[Any, Any]) -> None:
    """In place: the loop holds the same dict."""
    live.clear()
    live.update(saved)
