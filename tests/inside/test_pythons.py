"""The training side needs Python 3.10 and its standard library; the rest of the package keeps to the syntax of 3.10."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

import nightspot
from nightspot.backends.aws import wheel
from tests.inside.image import Image

SOURCE = Path(nightspot.__file__).parent
# Imports every module of the training side; whatever is neither ours nor the standard library's cannot be imported.
# Those in rooms of their own that are there for somebody else's library (_x.py, integrations) are left out.
ALONE = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {*sys.stdlib_module_names, "nightspot"}:
            raise ImportError(f"{name} is not in the standard library")
        parts = name.split(".")
        if parts[0] == "nightspot" and len(parts) > 1 and parts[1] not in ("checkpoint", "inside"):
            raise ImportError(f"{name} is not on the training side")
sys.meta_path.insert(0, Refuses())
import nightspot
for room in ("checkpoint", "inside"):
    package = importlib.import_module(f"nightspot.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"nightspot.{room}."):
        inner = module.name.split(".")[2:]
        if inner[0] == "integrations" or (len(inner) > 1 and inner[-1].startswith("_")):
            continue
        importlib.import_module(module.name)
        print(module.name)
"""


VERSIONS = ("3.10", "3.12", "3.13")  # 3.11 runs all other tests


@lru_cache
def interpreter(version: str) -> str | None:
    """Of that version, itself; where pyenv stands in front of it, that is asked for it. None where there is none."""
    name = f"python{version}"
    if shutil.which(name) is None:
        return None
    code = "import ensurepip, sys; print(sys.executable)"
    environment = {**os.environ, "PYENV_VERSION": version}
    shown = subprocess.run([name, "-c", code], env=environment, capture_output=True, text=True, cwd="/", check=False)
    return shown.stdout.strip() if shown.returncode == 0 else None


def found(version: str) -> str:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no python{version} here: only the syntax is checked")
    return python


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_is_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 10))


def imports_alone(python: str, folder: Path) -> set[str]:
    command = [python, "-I", "-S", "-c", ALONE, str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    return set(shown.stdout.split())


def expected() -> set[str]:
    found = set()
    for path in (path for room in wheel.ROOMS for path in (SOURCE / room).rglob("*.py")):
        inner = path.relative_to(SOURCE).with_suffix("").parts[1:]
        foreign = inner[0] == "integrations" or (len(inner) > 1 and inner[-1].startswith("_"))
        if inner != ("__init__",) and not (foreign and inner[-1] != "__init__"):
            found.add(".".join(("nightspot", path.relative_to(SOURCE).parts[0], *inner)).removesuffix(".__init__"))
    return found - {"nightspot.checkpoint.integrations"}


def test_the_training_side_imports_with_the_standard_library_alone() -> None:
    assert imports_alone(sys.executable, SOURCE.parent) == expected()


def test_it_imports_from_the_wheel_as_it_is(tmp_path: Path) -> None:
    built = wheel.build()
    (tmp_path / built.name).write_bytes(built.content)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import nightspot.inside.wrapper, nightspot.checkpoint as c; print(c.__file__)"
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path / built.name)], capture_output=True, text=True, check=True
    )
    assert built.name in shown.stdout


def test_a_writer_process_starts_out_of_the_wheel_as_it_is(tmp_path: Path) -> None:
    built = wheel.build()
    (tmp_path / built.name).write_bytes(built.content)
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from nightspot.checkpoint import Session, manifest
loop = {"step": 0}
with Session({"loop": loop}, folder=sys.argv[2], interval_s=0) as session:
    session.restore()
    session.step(1)
    print(manifest.names(session._saver.opened.folder), session._saver.hand._writer.ready)
"""
    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path / built.name), str(tmp_path / "checkpoints")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (shown.stdout, shown.stderr) == ("['step-000000001'] True\n", "")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_imports_in_that_python_itself(version: str) -> None:
    assert imports_alone(found(version), SOURCE.parent) == expected()


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_an_older_python_is_refused_in_words(image: Image, version: str) -> None:
    changed = image.bundle({"train.py": "print('trained')"})
    assert image.enter(changed, python=found(version)).wait() == 78
    assert image.failure == f"nightspot's wrapper needs Python 3.10, this image has {version}: set wrapper = false"
    assert image.out.read_bytes() + image.err.read_bytes() == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_training_runs_in_that_python_itself(image: Image, version: str) -> None:
    """No torch and no boto3: the wrapper, pip, and a Session of plain states."""
    script = """
        import sys
        from nightspot.checkpoint import Session
        loop = {"step": 0}
        with Session({"loop": loop}, interval_s=0) as session:
            session.restore()
            while loop["step"] < 3:
                loop["step"] += 1
                session.step(loop["step"])
            session.done(3)
        print(sys.version_info[:2], loop)
    """
    changed = image.bundle({"train.py": script})
    image.environment["NIGHTSPOT_CHECKPOINT_INTERVAL_S"] = "0"
    assert image.enter(changed, python=found(version)).wait() == 0, image.err.read_text()
    assert image.out.read_text() == f"({version.replace('.', ', ')}) {{'step': 3}}\n"
    assert sorted(path.name for path in (image.base / "checkpoints").glob("step-*")) == [
        "step-000000002",
        "step-000000003",
    ]
