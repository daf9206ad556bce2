"""State trees as JSON, exactly: what comes back has the same types, keys, order and bits, or is refused.

Tensors do not go into the JSON: a placeholder does, and the tensors are handed out to be stored beside it.
Nothing is ever unpickled, so a checkpoint cannot carry code.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nightspot.checkpoint import _numpy, _torch
from nightspot.checkpoint.errors import StateError

TAG = "!"
EXPECTED = (
    "None, bool, int, float, str, bytes, list, tuple, set, frozenset, deque, dict, OrderedDict, Counter, "
    "a tensor, or a number or array of numpy"
)

_PLAIN = (type(None), bool, int, str)
_SEQUENCES: dict[type, Callable[[Iterable[Any]], object]] = {tuple: tuple, set: set, frozenset: frozenset}
_MAPPINGS: dict[type, Callable[[Any], dict[Any, Any]]] = {
    dict: dict,
    OrderedDict: OrderedDict,
    Counter: lambda items: Counter(dict(items)),
}
_NAMED_SEQUENCES = {kind.__name__: make for kind, make in _SEQUENCES.items()}
_NAMED_MAPPINGS = {kind.__name__: make for kind, make in _MAPPINGS.items()}


class Encoder:
    """Turns a tree into JSON values; `tensors` collects what has to be stored beside them."""

    def __init__(self) -> None:
        self.tensors: list[object] = []
        self._index: dict[int, int] = {}

    def encode(self, value: Any, where: str) -> object:
        """JSON values for `value`. Raises StateError with the path (`where`...) of what cannot be kept."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {TAG: "float", "is": repr(value)}
        if kind in _MAPPINGS:
            return self._mapping(value, where)
        if kind is list:
            return self._items(value, where)
        if kind in _SEQUENCES or kind is deque:
            return self._sequence(value, where)
        return self._leaf(value, where)

    def _mapping(self, value: dict[Any, Any], where: str) -> object:
        if type(value) is dict and TAG not in value and all(type(key) is str for key in value):
            return {key: self.encode(item, f"{where}[{key!r}]") for key, item in value.items()}
        items = [
            [self.encode(key, f"a key of {where}"), self.encode(item, f"{where}[{key!r}]")]
            for key, item in value.items()
        ]
        tagged: dict[str, object] = {TAG: type(value).__name__, "items": items}
        # torch.nn.Module hangs its format versions on the dict; load_state_dict looks at them.
        if (metadata := getattr(value, "_metadata", None)) is not None:
            tagged["metadata"] = self.encode(metadata, f"{where}._metadata")
        return tagged

    def _sequence(self, value: Any, where: str) -> object:
        tagged: dict[str, object] = {TAG: type(value).__name__, "items": self._items(value, where)}
        return tagged | ({"longest": value.maxlen} if type(value) is deque else {})

    def _items(self, value: Iterable[Any], where: str) -> list[object]:
        return [self.encode(item, f"{where}[{index}]") for index, item in enumerate(value)]

    def _leaf(self, value: Any, where: str) -> object:
        if type(value) is bytes:
            return {TAG: "bytes", "base64": base64.b64encode(value).decode()}
        if _torch.is_tensor(value):
            return {TAG: "tensor", "at": self._place(value), "device": str(value.device)}
        if (small := _torch.encode_small(value)) is not None:
            return small
        if _numpy.is_leaf(value):
            return _numpy.encode(value, where)
        raise StateError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}: expected {EXPECTED}")

    def _place(self, tensor: object) -> int:
        """The same tensor twice stays one tensor."""
        if id(tensor) not in self._index:
            self._index[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return self._index[id(tensor)]


class Decoder:
    """Turns JSON values back into the tree, given the tensors stored beside them.

    to_device: move each tensor to the device it was saved from (else they stay on the CPU).
    """

    def __init__(self, tensors: Sequence[Any], *, to_device: bool) -> None:
        self._tensors = [None] * len(tensors)
        self._stored, self._to_device = tensors, to_device

    def decode(self, value: Any) -> Any:
        """The tree. Raises TypeError, KeyError or ValueError for what no Encoder wrote."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if TAG not in value:
            return {key: self.decode(item) for key, item in value.items()}
        return self._tagged(value, value[TAG])

    def _tagged(self, tagged: Mapping[str, Any], kind: str) -> object:
        if kind in _NAMED_SEQUENCES:
            return _NAMED_SEQUENCES[kind](self.decode(tagged["items"]))
        if kind in _NAMED_MAPPINGS:
            return self._mapping(tagged, kind)
        if kind == "tensor":
            return self._tensor(tagged["at"], tagged["device"])
        if kind == "deque":
            return deque(self.decode(tagged["items"]), tagged["longest"])
        return _scalar(dict(tagged), kind)

    def _mapping(self, tagged: Mapping[str, Any], kind: str) -> dict[Any, Any]:
        made = _NAMED_MAPPINGS[kind]((self.decode(key), self.decode(item)) for key, item in tagged["items"])
        if "metadata" in tagged:
            vars(made)["_metadata"] = self.decode(tagged["metadata"])
        return made

    def _tensor(self, at: int, device: str) -> object:
        if self._tensors[at] is None:
            tensor = self._stored[at]
            self._tensors[at] = tensor.to(device) if self._to_device else tensor
        return self._tensors[at]


def _scalar(tagged: dict[str, Any], kind: str) -> object:
    if kind == "float":
        return float(tagged["is"])
    if kind == "bytes":
        return base64.b64decode(tagged["base64"])
    if kind in ("ndarray", "scalar"):
        return _numpy.decode(tagged)
    if kind.startswith("torch."):
        return _torch.decode_small(tagged)
    raise TypeError(f"a checkpoint holds a value of kind {kind!r}, which this version does not know")
