"""`changed` is `dataclasses.replace`, only faster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nightspot.model.capacity import Bounds
from nightspot.model.change import changed


def test_it_equals_replace_and_leaves_the_original_alone() -> None:
    before = Bounds(1.0, 2.0, 3.0, 4.0)
    assert changed(before, stop_s=9.0) == replace(before, stop_s=9.0)
    assert before == Bounds(1.0, 2.0, 3.0, 4.0)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="no field 'speed'"):
        changed(Bounds(1.0), speed=2.0)
