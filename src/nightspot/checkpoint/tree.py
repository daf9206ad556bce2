"""State trees as JSON, exactly: what comes back has the same types, keys, order and bits, or is refused.

Tensors do not go into the JSON: a placeholder with a key does, and the tensors are handed out to be stored beside it.
Nothing is ever unpickled, so a checkpoint cannot carry code.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nightspot.checkpoint import _numpy, _torch
from nightspot.checkpoint.errors import StateError

TAG = "!"
Path = tuple[object, ...]  # a state's name, then keys and positions
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


class Tensors:
    """Tensors by key, each memory once: tied weights, and the same tensor in two places, have one key."""

    def __init__(self) -> None:
        self.by_key: dict[str, Any] = {}
        self._keys: dict[object, str] = {}

    def key(self, tensor: Any, path: Path) -> str:
        """The key of a tensor; the path it is found at, unless it, or its memory, has one already."""
        identity = _torch.identity(tensor)
        if (known := self._keys.get(identity)) is not None:
            return known
        key = self._unused("/".join(map(str, path)))
        self.by_key[key], self._keys[identity] = tensor, key
        return key

    def _unused(self, wished: str) -> str:
        """`{1: a, "1": b}` has the same path twice."""
        key, count = wished, 1
        while key in self.by_key:
            count += 1
            key = f"{wished}#{count}"
        return key


class Encoder:
    """Turns a tree into JSON values; `tensors` collects what has to be stored beside them."""

    def __init__(self, tensors: Tensors | None = None) -> None:
        self.tensors = Tensors() if tensors is None else tensors

    def encode(self, value: Any, *path: object) -> object:
        """JSON values for `value`, found at `path` (a state's name, then keys and positions).

        Raises StateError with the path of what cannot be kept.
        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {TAG: "float", "is": repr(value)}
        if kind in _MAPPINGS:
            return self._mapping(value, path)
        if kind is list:
            return self._items(value, path)
        if kind in _SEQUENCES or kind is deque:
            return self._sequence(value, path)
        return self._leaf(value, path)

    def _mapping(self, value: dict[Any, Any], path: Path) -> object:
        if type(value) is dict and TAG not in value and all(type(key) is str for key in value):
            return {key: self.encode(item, *path, key) for key, item in value.items()}
        items = [
            [self.encode(key, *path, f"(key {number})"), self.encode(item, *path, key)]
            for number, (key, item) in enumerate(value.items())
        ]
        tagged: dict[str, object] = {TAG: type(value).__name__, "items": items}
        # torch.nn.Module hangs its format versions on the dict; load_state_dict looks at them.
        if (metadata := getattr(value, "_metadata", None)) is not None:
            tagged["metadata"] = self.encode(metadata, *path, "_metadata")
        return tagged

    def _sequence(self, value: Any, path: Path) -> object:
        tagged: dict[str, object] = {TAG: type(value).__name__, "items": self._items(value, path)}
        return tagged | ({"longest": value.maxlen} if type(value) is deque else {})

    def _items(self, value: Iterable[Any], path: Path) -> list[object]:
        return [self.encode(item, *path, index) for index, item in enumerate(value)]

    def _leaf(self, value: Any, path: Path) -> object:
        if type(value) is bytes:
            return {TAG: "bytes", "base64": base64.b64encode(value).decode()}
        if _torch.is_tensor(value):
            return self._tensor(value, path)
        if (small := _torch.encode_small(value)) is not None:
            return small
        if _numpy.is_leaf(value):
            return _numpy.encode(value, where(path))
        raise StateError(f"{where(path)} is a {type(value).__module__}.{type(value).__qualname__}: expected {EXPECTED}")

    def _tensor(self, value: Any, path: Path) -> object:
        if (refused := _torch.refusal(value)) is not None:
            raise StateError(f"{where(path)} is {refused}")
        if (parts := _torch.sparse_parts(value)) is not None:
            told, members = parts
            inner = {name: self.encode(member, *path, name) for name, member in members.items()}
            return {TAG: "sparse", **told, "parts": inner}
        if _torch.is_lazy(value):
            return {TAG: "torch.lazy", "parameter": _torch.is_parameter(value)}
        return {TAG: "tensor", "key": self.tensors.key(value, path), **_torch.traits(value)}


class Decoder:
    """Turns JSON values back into the tree.

    tensor: from a placeholder to its tensor, on the device where it shall be.
    """

    def __init__(self, tensor: Callable[[Mapping[str, Any]], Any]) -> None:
        self._tensor, self._made = tensor, dict[str, Any]()

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
            return self._once(tagged)
        if kind == "sparse":
            return _torch.sparse(tagged, {name: self.decode(part) for name, part in tagged["parts"].items()})
        if kind == "deque":
            return deque(self.decode(tagged["items"]), tagged["longest"])
        return _scalar(dict(tagged), kind)

    def _mapping(self, tagged: Mapping[str, Any], kind: str) -> dict[Any, Any]:
        made = _NAMED_MAPPINGS[kind]((self.decode(key), self.decode(item)) for key, item in tagged["items"])
        if "metadata" in tagged:
            vars(made)["_metadata"] = self.decode(tagged["metadata"])
        return made

    def _once(self, placeholder: Mapping[str, Any]) -> object:
        """The same tensor in two places stays one."""
        key = str(placeholder["key"])
        if key not in self._made:
            self._made[key] = _torch.with_traits(self._tensor(placeholder), placeholder)
        return self._made[key]


def where(path: Path) -> str:
    """A path for people: sampler['queue'][1]."""
    return str(path[0]) + "".join(f"[{part!r}]" for part in path[1:])


def _scalar(tagged: dict[str, Any], kind: str) -> object:
    if kind == "float":
        return float(tagged["is"])
    if kind == "bytes":
        return base64.b64decode(tagged["base64"])
    if kind in ("ndarray", "scalar"):
        return _numpy.decode(tagged)
    if kind == "torch.lazy":
        return _torch.lazy(parameter=bool(tagged["parameter"]))
    if kind.startswith("torch."):
        return _torch.decode_small(tagged)
    raise TypeError(f"a checkpoint holds a value of kind {kind!r}, which this version does not know")
