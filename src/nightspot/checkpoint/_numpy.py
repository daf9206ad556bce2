"""The only module here that touches numpy; it is used where the training uses it, and never required."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from typing import Any

from nightspot.checkpoint.errors import StateError

Tagged = dict[str, Any]


def is_leaf(value: object) -> bool:
    """An array or a scalar of numpy."""
    if (np := sys.modules.get("numpy")) is None:
        return False
    return type(value) is np.ndarray or isinstance(value, np.generic)


def encode(value: Any, where: str) -> Tagged:
    """Type, shape and bytes. Raises StateError for arrays of objects and records."""
    import numpy as np

    if value.dtype.hasobject or value.dtype.fields:
        raise StateError(f"{where} is an array of {value.dtype}: expected numbers, text or times")
    if value.dtype.itemsize and np.dtype(value.dtype.str) != value.dtype:
        raise StateError(f"{where} is an array of {value.dtype}, whose name numpy itself does not know")
    data = base64.b64encode(value.tobytes()).decode()
    kind = "scalar" if isinstance(value, np.generic) else "ndarray"
    return {"!": kind, "dtype": value.dtype.str, "shape": list(value.shape), "base64": data}


def decode(tagged: Tagged) -> object:
    """A fresh, writable array, or a scalar."""
    import numpy as np

    data = base64.b64decode(tagged["base64"])
    kind = np.dtype(tagged["dtype"])
    # A text without letters has no bytes, and frombuffer no idea what to do then.
    flat = np.frombuffer(data, dtype=kind) if kind.itemsize else np.zeros(tagged["shape"], dtype=kind)
    array = flat.reshape(tagged["shape"]).copy()
    return array if tagged["!"] == "ndarray" else array[()]


def generator_access(value: object) -> tuple[Callable[[], object], Callable[[Any], None]] | None:
    """How to read and write the state of a numpy Generator or RandomState; None for anything else."""
    if (module := sys.modules.get("numpy.random")) is None:
        return None
    if isinstance(value, module.Generator):
        bits: Any = value.bit_generator
        return lambda: bits.state, lambda saved: setattr(bits, "state", saved)
    if isinstance(value, module.RandomState):
        return value.get_state, value.set_state
    return None


def random_state() -> object | None:
    """State of numpy's global generator; None where nobody has imported it."""
    if (module := sys.modules.get("numpy.random")) is None:
        return None
    state: object = module.get_state()
    return state


def set_random_state(state: Any) -> None:
    """Put the global generator back."""
    import numpy as np

    np.random.set_state(state)


def seed(number: int) -> None:
    """The global generator begins anew, where somebody has imported it. number: below 2^32."""
    if (module := sys.modules.get("numpy.random")) is not None:
        module.seed(number)


def version() -> str | None:
    """Of the numpy in use; None where it is not."""
    module = sys.modules.get("numpy")
    return None if module is None else str(module.__version__)
