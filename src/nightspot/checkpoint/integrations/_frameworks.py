"""Finds a framework, and says what to install where it is missing or too old."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType


def find(names: tuple[str, ...], least: tuple[int, int], install: str) -> ModuleType:
    """The first of `names` that the program has imported already, else the first that there is.

    least: oldest version that will do. Raises ImportError that says what to install.
    """
    imported = [name for name in names if sys.modules.get(name) is not None]
    for name in [*imported, *names]:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and not name.startswith(error.name):
                raise  # it is there, and lacks something itself
            continue
        _check_version(name, str(module.__version__), least, install)
        return module
    raise ImportError(f"{' or '.join(names)} is not installed: pip install '{install}'")


def _check_version(name: str, version: str, least: tuple[int, int], install: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) >= least:
        return
    oldest = ".".join(map(str, least))
    raise ImportError(f"{name} {version} is too old: expected {oldest} or newer: pip install --upgrade '{install}'")
