"""`changed` is `dataclasses.replace`, only faster."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from nightspot.model.attempt import Attempt, Role
from nightspot.model.capacity import Bounds
from nightspot.model.change import changed


def test_it_equals_replace_and_leaves_the_original_alone() -> None:
    before = Bounds(1.0, 2.0, 3.0, 4.0)
    assert changed(before, stop_s=9.0) == replace(before, stop_s=9.0)
    assert before == Bounds(1.0, 2.0, 3.0, 4.0)


def test_it_does_with_what_keeps_its_fields_in_a_dict_too() -> None:
    before = Attempt(1, "token", "spot", Role.TRAIN, 0.0, 9.0, 0.0)
    after = changed(before, seen=True, cost_usd=2.0)
    assert after == replace(before, seen=True, cost_usd=2.0)
    assert (before.seen, before.cost_usd) == (False, 0.0)
    with pytest.raises(FrozenInstanceError):
        after.seen = False  # type: ignore[misc]


@pytest.mark.parametrize("value", [Bounds(1.0), Attempt(1, "token", "spot", Role.TRAIN, 0.0, 9.0, 0.0)])
def test_an_unknown_field_is_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="no field 'speed'"):
        changed(value, speed=2.0)
