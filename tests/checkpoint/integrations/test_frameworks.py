"""What is said where a framework is missing or too old."""

import sys
import types
from pathlib import Path

import pytest

from nightspot.checkpoint.integrations._frameworks import find


def test_a_missing_framework_is_said_with_what_to_install() -> None:
    with pytest.raises(
        ImportError, match=r"no_such_one or no_such_two.part is not installed: pip install 'nightspot\[x\]'"
    ):
        find(("no_such_one", "no_such_two.part"), (1, 0), "nightspot[x]")


def test_one_that_is_too_old_is_said_with_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("an_old_one")
    old.__version__ = "2.1.9"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "an_old_one", old)
    with pytest.raises(ImportError, match=r"an_old_one 2\.1\.9 is too old: expected 2\.2 or newer"):
        find(("an_old_one",), (2, 2), "nightspot[x]")
    assert find(("an_old_one",), (2, 1), "nightspot[x]") is old


def test_the_one_that_the_program_uses_is_taken_before_one_that_is_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    used = types.ModuleType("a_used_one")
    used.__version__ = "3.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_used_one", used)
    assert find(("this_is_not_there", "a_used_one"), (2, 2), "nightspot[x]") is used


def test_a_framework_that_lacks_something_itself_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_broken_one.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        find(("a_broken_one",), (1, 0), "nightspot[x]")
