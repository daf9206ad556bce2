from __future__ import annotations

from typing import Iterator

import pytest

from nightspot.process.surroundings import sandbox_works
from tests.backends.emulated import QUICK, Emulation
from tests.backends.scripted import Script, scripted


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    """An emulator in real time, for buckets and for jobs that need not run."""
    if not sandbox_works():
        pytest.skip("bubblewrap is missing or not allowed here")
    made = Emulation(tmp_path_factory.mktemp("still"), ("--quota", "ml.p4d.24xlarge:spot=0", *QUICK), scale=1.0)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A server that answers boto3 as it is told."""
    with scripted(monkeypatch) as told:
        yield told
