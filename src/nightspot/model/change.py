"""Changed copies of frozen dataclasses: what `dataclasses.replace` does, at a fraction of its cost.

A simulated night makes some sixty of them, and half its time went there. Neither runs `__init__`: there is nothing in it to run. What has
many fields and is changed often keeps them in a dict, which is copied at once (RunState, Attempt); what is slotted is copied slot by slot.
"""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import Any, Callable, Hashable, TypeVar

T = TypeVar("T")


def changed(value: T, **changes: Any) -> T:
    """A copy of that frozen dataclass with some fields changed. TypeError for a field it does not have."""
    kind = type(value)
    copy = object.__new__(kind)
    names, read, setters = _plan(kind)  # type: ignore[arg-type]  # a class is hashable
    for name in changes:
        if name not in names:
            raise TypeError(f"{kind.__name__} has no field {name!r}")
    if read is None:
        fields = value.__dict__.copy()  # as a whole: faster than one by one
        fields.update(changes)
        object.__setattr__(copy, "__dict__", fields)
        return copy
    for set_field, old in zip(setters, read(value)):  # noqa: B905 - made for each other; strict would cost a tenth
        set_field(copy, old)
    for name, new in changes.items():
        names[name](copy, new)
    return copy


Read = Callable[[object], tuple[object, ...]]


@cache
def _plan(kind: Hashable) -> tuple[dict[str, Any], Read | None, list[Any]]:
    """How to read and write the slots of that class, worked out once; no reader where it has none, but a dict.

    Slots' own descriptors, and the dict, do not ask whether it is frozen.
    """
    fields: tuple[str, ...] = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if "__slots__" not in vars(kind):
        return dict.fromkeys(fields), None, []
    setters = {name: vars(kind)[name].__set__ for name in fields}
    return setters, attrgetter(*fields), list(setters.values())
