"""Live objects -> named blobs, and back. What is durable, and where, is not decided here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import IO, Any

from nightspot.checkpoint import _numpy, _torch
from nightspot.checkpoint.errors import ConfigError, StateError
from nightspot.checkpoint.tree import Decoder, Encoder

TREES = "state.json"
RANDOM = "random"  # the name under which the global random states travel
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
Access = tuple[Callable[[], object], Callable[[Any], object]]


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a checkpoint. `write` must run before training goes on: it reads live memory."""

    name: str
    write: Callable[[IO[bytes]], object]


def check_states(states: Mapping[str, object]) -> None:
    """Raises ValueError for a name, and StateError for an object, that cannot be a state."""
    for name, value in states.items():
        if not _NAME.fullmatch(name) or name == RANDOM:
            raise ValueError(f"state name {name!r}: expected a letter, then letters, digits, - or _; not 'random'")
        _access(value, name)


def capture(states: Mapping[str, object], random_states: object) -> list[Blob]:
    """Blobs of all states. Raises StateError where one holds something that cannot be kept exactly."""
    trees: dict[str, object] = {RANDOM: Encoder().encode(random_states, RANDOM)}
    blobs = []
    for name, value in states.items():
        encoder = Encoder()
        trees[name] = encoder.encode(_access(value, name)[0](), name)
        if encoder.tensors:
            blobs.append(Blob(f"{name}.pt", partial(_torch.save, encoder.tensors)))
    text = json.dumps(trees, allow_nan=False, separators=(",", ":")).encode()
    return [Blob(TREES, lambda file: file.write(text)), *blobs]


def read(folder: Path, files: Container[str], states: Mapping[str, object]) -> tuple[dict[str, Any], Any]:
    """Saved states by name, and the random states; nothing live changes.

    files: names that were verified; no other is opened.
    Raises ConfigError if the names differ, or a module or an optimizer has another shape.
    """
    trees = json.loads((folder / TREES).read_bytes() if TREES in files else b"{}")
    random_states = Decoder([], to_device=False).decode(trees.pop(RANDOM))
    _compare_names(states, trees)
    saved = {}
    for name, tree in trees.items():
        tensors = _torch.load(folder / f"{name}.pt") if f"{name}.pt" in files else []
        saved[name] = Decoder(tensors, to_device=not _torch.places_itself(states[name])).decode(tree)
        if (why := _torch.mismatch(states[name], saved[name])) is not None:
            raise ConfigError(f"state '{name}' does not fit this program: {why}")
    return saved, random_states


def put_back(states: Mapping[str, object], saved: Mapping[str, Any]) -> None:
    """Load every saved state into its live object."""
    for name, value in states.items():
        _access(value, name)[1](saved[name])


def _compare_names(states: Mapping[str, object], saved: Mapping[str, object]) -> None:
    if missing := sorted(states.keys() - saved.keys()):
        raise ConfigError(f"states the checkpoint does not have: {', '.join(missing)}")
    if extra := sorted(saved.keys() - states.keys()):
        raise ConfigError(f"states only the checkpoint has: {', '.join(extra)}; they would be lost")


def _access(value: Any, name: str) -> Access:
    """How to read and write the state of an object. Raises StateError for one that has none."""
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return value.state_dict, value.load_state_dict
    if isinstance(value, dict):
        return lambda: dict(value), partial(_replace, value)
    if isinstance(value, Random):
        return value.getstate, value.setstate
    access = _numpy.generator_access(value) or _torch.generator_access(value)
    if access is None:
        raise StateError(
            f"state '{name}' is a {type(value).__qualname__}: expected state_dict and load_state_dict, "
            "a dict, or a random generator of python, numpy or torch"
        )
    return access


def _replace(live: dict[Any, Any], saved: Mapping[Any, Any]) -> None:
    """In place: the loop holds the same dict."""
    live.clear()
    live.update(saved)
