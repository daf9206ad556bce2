"""Style is a test: the floors, the size of files and functions, and that nothing pure reads a clock."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "nightspot"
FLOORS: dict[str, int] = {
    "errors": 0,
    "model": 0,
    "market": 1,
    "policy": 2,
    "night": 3,
    "jobfile": 3,
    "process": 3,
    "backends": 4,
    "planning": 5,
    "drill": 5,
    "deploy": 5,
    "emulator": 5,
    "sagemaker": 5,
    "report": 6,
    "cli": 7,
    "web": 7,
}
PURE = ("model", "market", "policy")
# These run in the training image, beside the floors: on Python 3.10 and the standard library.
TRAINING_SIDE = ("checkpoint", "inside", "probe")
# What the floors may know of them: the format, the bucket that holds it, and how durations and intervals are written.
OPEN = ("checkpoint.manifest", "checkpoint.bucket", "checkpoint.errors", "checkpoint.durations", "checkpoint.interval")
WORLDLY = {"time", "os", "socket", "subprocess", "sqlite3", "threading", "asyncio", "pathlib", "requests", "boto3"}
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "nightspot":
                yield from (f"nightspot.{alias.name}" for alias in node.names)
            elif node.module is not None:
                yield node.module


def our_rooms(path: Path) -> set[str]:
    names = [name.split(".") for name in imported(path) if name.startswith("nightspot.")]
    return {".".join(parts[1:]) for parts in names}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_only_from_floors_below_its_own(path: Path) -> None:
    mine = room(path)
    for name in our_rooms(path):
        other = name.split(".")[0]
        if other == mine or other == "__version__" or mine == "__init__":
            continue
        if mine in TRAINING_SIDE:
            assert other in TRAINING_SIDE, f"{path}: the training side imports {name}"
        elif other in TRAINING_SIDE:
            assert FLOORS[mine] >= 3 and name in OPEN, f"{path}: imports {name}"
        elif other == "errors":
            continue
        else:
            assert FLOORS[other] < FLOORS[mine], f"{path}: {mine} (F{FLOORS[mine]}) imports {other} (F{FLOORS[other]})"


@pytest.mark.parametrize("path", [p for p in modules() if room(p) in PURE], ids=lambda p: str(p.relative_to(SOURCE)))
def test_the_pure_floors_touch_no_world(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} & WORLDLY == set()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES, f"{path}: find the room it hides"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{path}:{node.lineno} {node.name} has {length} lines"
