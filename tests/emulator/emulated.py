"""A fixture for whoever needs an emulator as it is: `from tests.emulator.emulated import emulated  # noqa: F401`."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from nightspot.emulator.container import what_is_missing
from nightspot.emulator.launch import Launched, launch

Emulated = Callable[..., Launched]
needs_container = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))
QUICK = ("--start-delay", "1s", "--download-delay", "1s", "--upload-delay", "1s")


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    """`emulated("--market", "never", ...)` starts `nightspot emulate sagemaker` with these options, as often as wanted.

    `state` is its folder, by default one for all of a test; it dies with the test, at the latest. Market time is 60 times as fast as real
    time, and launching takes a moment, unless options say otherwise.
    """
    if what_is_missing() is not None:
        pytest.skip(str(what_is_missing()))
    started: list[Launched] = []

    def start(*options: str, state: Path | None = None) -> Launched:
        words = [*QUICK, *([] if "--time-scale" in options else ["--time-scale", "60"]), *options]
        started.append(launch(state or tmp_path / "emulator", words))
        return started[-1]

    yield start
    for one in started:
        one.stop()
