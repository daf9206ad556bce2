"""What the container hides, and what is said where none can be made."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nightspot.emulator import container
from nightspot.emulator.container import Container, Sandbox, what_is_missing
from nightspot.emulator.errors import EmulatorError
from tests.emulator.machine.stage import ours_in_tmp, wait_for

needs_container = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))


def run(tmp_path: Path, script: str) -> tuple[int | None, str]:
    (tmp_path / "ml").mkdir()
    sandbox = Sandbox(tmp_path / "ml", tmp_path / "own")
    sandbox.make()
    made = Container(sandbox, ["sh", "-c", script], {"PATH": os.environ["PATH"]})
    output = made.start()
    wait_for(lambda: made.exit_code() is not None)
    with os.fdopen(output) as pipe:
        return made.exit_code(), pipe.read()


@needs_container
def test_credentials_on_the_disk_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    home = Path(request.config.rootpath) / f".home-of-{os.getpid()}"  # not in /tmp, which is hidden anyway
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text("a secret")
    (home / "elsewhere").write_text("a secret")
    (home / "plain").write_text("to be read")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "elsewhere"))
    try:
        _, said = run(tmp_path, f"cd {home}; cat .aws/credentials elsewhere plain; ls -A .aws /tmp")
    finally:
        for path in (home / ".aws/credentials", home / "elsewhere", home / "plain"):
            path.unlink()
        (home / ".aws").rmdir()
        home.rmdir()
    assert "a secret" not in said and "to be read" in said
    assert ".aws:\n\n/tmp:\n" in said
    assert set(said.partition("/tmp:\n")[2].split()) == {"home"} | ours_in_tmp()


@needs_container
@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$; exit 8", 8), ("exec sh -c 'exit 0'", 0)])
def test_the_exit_code_is_the_programs(tmp_path: Path, script: str, code: int) -> None:
    assert run(tmp_path, script)[0] == code, "and a first process cannot kill itself, as in Docker"


@needs_container
def test_a_killed_container_says_so(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    sandbox = Sandbox(tmp_path / "ml", tmp_path / "own")
    sandbox.make()
    made = Container(sandbox, ["sleep", "600"], {"PATH": os.environ["PATH"]})
    assert (made.exit_code(), made.pids()) == (None, set())
    made.kill()
    os.close(made.start())
    assert made.exit_code() is None and len(made.pids()) == 1
    made.kill()
    made.kill()
    assert (made.exit_code(), made.pids()) == (137, set())


@needs_container
def test_a_program_that_is_not_there_is_a_failure_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    sandbox = Sandbox(tmp_path / "ml", tmp_path / "own")
    sandbox.make()
    made = Container(sandbox, ["no-such-program"], {"PATH": os.environ["PATH"]})
    with os.fdopen(made.start()) as pipe:
        assert "no-such-program" in pipe.read()
    wait_for(lambda: made.exit_code() is not None)
    assert made.exit_code() == 127


def test_where_no_container_can_be_made_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in str(what_is_missing())
    with pytest.raises(EmulatorError, match="not installed"):
        Container(Sandbox(tmp_path, tmp_path), ["true"], {}).start()
    refuses = tmp_path / "bwrap"
    refuses.write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    refuses.chmod(0o755)
    assert "no namespaces for you" in str(what_is_missing())


def test_a_python_in_a_temporary_folder_stays_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "TEMPORARY", (tmp_path.parent,))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    words = Sandbox(tmp_path / "ml", tmp_path / "own").words()
    at = words.index(str(tmp_path))
    assert words[at - 1 : at + 2] == ["--ro-bind", str(tmp_path), str(tmp_path)]
