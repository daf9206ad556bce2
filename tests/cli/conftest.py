from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from nightspot.cli import world
from nightspot.cli.app import invoke
from tests.cli.nights import FakeWorlds, Machine


@dataclass
class Cli:
    """Commands inside this process."""

    capture: pytest.CaptureFixture[str]
    home: Path
    out: str = ""
    err: str = ""

    def __call__(self, *words: object) -> int:
        code = invoke(["--home", str(self.home), *map(str, words)])
        self.out, self.err = self.capture.readouterr()
        return int(code)

    def json(self, *words: object) -> Any:
        self(*words, "--json")
        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "120")
    return Cli(capsys, tmp_path / "home")


@pytest.fixture
def play_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeWorlds], FakeWorlds]:
    """Let the commands act in these worlds."""

    def put(worlds: FakeWorlds) -> FakeWorlds:
        monkeypatch.setattr(world, "open_world", worlds.open_world)
        return worlds

    return put


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)
