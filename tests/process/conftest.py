from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.process.leftovers import end_everything_in
from tests.process.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        end_everything_in(made.home)
