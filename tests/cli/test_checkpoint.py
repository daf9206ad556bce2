"""`nightspot checkpoint`: the same answers for a folder and for a bucket, and exit codes that a script can trust."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import Session, bucket, store_patience
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.lock import FolderLock
from nightspot.checkpoint.manifest import MANIFEST
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.upload import Sender, opened
from nightspot.errors import ExitCode
from tests.checkpoint.buckets import CREDENTIALS, Fault, Server, made
from tests.checkpoint.test_manifest import forge
from tests.checkpoint.test_upload import MOTO
from tests.cli.conftest import Cli

pytest_plugins = ["tests.checkpoint.bucket_fixture"]
INDEX = {"tensors": {"model/weight": {"dtype": "float32", "shape": [2, 3], "pieces": [{"file": "data-0-000.bin"}]}}}
FILES = {
    "state.json": json.dumps({"model": {}, "loop": {"step": 3}}).encode(),
    "rank-0.json": json.dumps({"random": 1}).encode(),
    "index.json": json.dumps(INDEX).encode(),
    "data-0-000.bin": b"w" * 24,
}
LS = {"name", "units_done", "when_utc", "size_bytes", "attempt", "world_size", "whole", "fault"}
HOW = pytest.mark.parametrize("how", ["folder", "bucket"])


class Shelf:
    """Three checkpoints, in a folder or in a bucket."""

    def __init__(self, how: str, server: Server, folder: Path) -> None:
        self.server, self.folder, self.remote = server, folder, how == "bucket"
        self.uri = server.fresh() if self.remote else str(folder)
        for number in (1, 2, 4):
            made(folder, number, FILES | {"own.bin": bytes([number])}, attempt=number)
            if self.remote:
                with opened(folder, f"step-{number:09d}") as source:
                    Sender(Bucket(self.uri), MOTO, Patience()).send(source)

    def damage(self, key: str, content: bytes | None) -> None:
        if self.remote:
            key = self.server.where(self.uri, *key.split("/"))
        if self.remote and content is None:
            self.server.delete(self.uri, key)
        elif self.remote:
            self.server.put(self.uri, key, content or b"")
        elif content is None:
            (self.folder / key).unlink()
        else:
            (self.folder / key).write_bytes(content)

    def names(self) -> list[str]:
        if self.remote:
            return sorted({key.partition("/")[0] for key in self.server.keys(self.uri)})
        return sorted(path.name for path in self.folder.glob("step-*"))


@pytest.fixture
def shelf(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Shelf:
    how: str = request.node.callspec.params["how"]
    return Shelf(how, server, tmp_path / "checkpoints")


@HOW
def test_ls_tells_of_each_what_it_is_and_whether_it_looks_whole(cli: Cli, shelf: Shelf, how: str) -> None:
    shelf.damage("step-000000002/own.bin", b"longer")
    shelf.damage(f"step-000000001/{MANIFEST}", None)
    rows: list[dict[str, Any]] = cli.json("checkpoint", "ls", shelf.uri)
    assert [(row["name"], row["whole"], row["attempt"]) for row in rows] == [
        ("step-000000004", True, 4),
        ("step-000000002", False, 2),
        ("step-000000001", False, None),
    ]
    assert all(set(row) == LS for row in rows)
    assert "own.bin has 6 bytes, not 1" in rows[1]["fault"]
    assert "manifest" in rows[2]["fault"]
    assert cli("checkpoint", "ls", shelf.uri) == ExitCode.OK
    assert "step-000000004" in cli.out


@HOW
def test_show_tells_all_of_the_newest_or_of_the_one_named(cli: Cli, shelf: Shelf, how: str) -> None:
    facts = cli.json("checkpoint", "show", shelf.uri)
    assert (facts["name"], facts["units_done"], facts["attempt"]) == ("step-000000004", 4.0, 4)
    assert facts["states"] == ["loop", "model"]
    assert facts["tensors"] == [
        {"key": "model/weight", "dtype": "float32", "shape": [2, 3], "files": ["data-0-000.bin"]}
    ]
    assert {file["name"] for file in facts["files"]} == {*FILES, "own.bin"}
    assert cli("checkpoint", "show", f"{shelf.uri}/step-000000001") == ExitCode.OK
    assert "model/weight  float32[2, 3]  data-0-000.bin" in cli.out
    assert "fingerprint  f1" in cli.out


@HOW
@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("data-0-000.bin", b"w" * 23 + b"x", "data-0-000.bin (bytes 0 to 23) does not have the hash"),
        ("data-0-000.bin", None, "data-0-000.bin is missing"),
        (MANIFEST, b"{}", "manifest is damaged"),
    ],
)
def test_verify_reads_every_byte_and_says_which_file_is_wrong_and_what_was_in_it(
    cli: Cli, shelf: Shelf, how: str, key: str, content: bytes | None, said: str
) -> None:
    assert cli("checkpoint", "verify", shelf.uri) == ExitCode.OK
    shelf.damage(f"step-000000002/{key}", content)
    rows = cli.json("checkpoint", "verify", shelf.uri)
    assert [row["whole"] for row in rows] == [True, False, True]
    assert said in rows[1]["faults"][0]
    assert cli("checkpoint", "verify", f"{shelf.uri}/step-000000002") == ExitCode.DAMAGED
    assert "DAMAGED" in cli.out
    assert ("it holds model/weight" in cli.out) == (key != MANIFEST)
    assert cli("checkpoint", "verify", f"{shelf.uri}/step-000000004") == ExitCode.OK


@HOW
def test_prune_keeps_the_newest_whole_ones_and_every_nth(cli: Cli, shelf: Shelf, how: str) -> None:
    asked = cli("checkpoint", "prune", shelf.uri, "--keep", 1)
    assert (asked, len(shelf.names())) == (ExitCode.USAGE, 3)
    assert "--yes" in cli.err
    plan = cli.json("checkpoint", "prune", shelf.uri, "--keep", 1, "--every", 2, "--dry-run")
    assert (plan["dropped"], plan["dry_run"], len(shelf.names())) == (["step-000000001"], True, 3)
    assert plan["freed_bytes"] == sum(map(len, FILES.values())) + 1
    assert cli("checkpoint", "prune", shelf.uri, "--keep", 1, "--every", 2, "--yes") == ExitCode.OK
    assert shelf.names() == ["step-000000002", "step-000000004"]
    assert cli("checkpoint", "prune", shelf.uri, "--keep", 1, "--yes") == ExitCode.OK
    assert shelf.names() == ["step-000000004"]


@HOW
def test_prune_never_drops_the_newest_that_is_whole(cli: Cli, shelf: Shelf, how: str) -> None:
    shelf.damage("step-000000004/data-0-000.bin", b"w" * 23 + b"x")  # as long as it was
    shelf.damage("step-000000002/own.bin", None)
    assert cli("checkpoint", "prune", shelf.uri, "--keep", 1, "--yes") == ExitCode.OK
    assert "step-000000001" in shelf.names()
    shelf.damage("step-000000001/own.bin", None)
    assert cli("checkpoint", "prune", shelf.uri, "--keep", 1, "--yes") == ExitCode.OK
    assert len(shelf.names()) == 3


def test_prune_refuses_while_a_training_has_the_folder(cli: Cli, tmp_path: Path) -> None:
    for number in (1, 2):
        made(tmp_path / "c", number, FILES)
    program = "import sys; from pathlib import Path; from nightspot.checkpoint.lock import FolderLock;"
    program += "l = FolderLock(Path(sys.argv[1])); l.acquire(); print(1, flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(tmp_path / "c")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        assert training.stdout is not None
        training.stdout.readline()
        assert cli("checkpoint", "prune", tmp_path / "c", "--keep", 1, "--yes") == ExitCode.OTHER_CONTROLLER
        assert "another process trains" in cli.err
        training.communicate()
    assert cli("checkpoint", "prune", tmp_path / "c", "--keep", 1, "--yes") == ExitCode.OK
    lock = FolderLock(tmp_path / "c")
    assert lock.acquire(0.0)  # it let go
    lock.release()


def test_what_a_session_writes_is_listed_shown_and_verified(cli: Cli, tmp_path: Path) -> None:
    with Session({"loop": {"step": 0}}, folder=tmp_path / "c", interval_s=0) as session:
        session.restore()
        session.step(units_done=1.5)
    [row] = cli.json("checkpoint", "ls", f"file://{tmp_path}/c")
    assert (row["units_done"], row["whole"]) == (1.5, True)
    assert cli.json("checkpoint", "show", tmp_path / "c")["states"] == ["loop"]
    assert cli("checkpoint", "verify", tmp_path / "c") == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "nowhere"], ExitCode.NOT_FOUND),
        (["show", "empty"], ExitCode.NOT_FOUND),
        (["verify", "empty"], ExitCode.NOT_FOUND),
        (["verify", "empty/step-000000001"], ExitCode.NOT_FOUND),
        (["ls", "gs://bucket/x"], ExitCode.USAGE),
        (["ls", "file://elsewhere/x"], ExitCode.USAGE),
        (["ls", "s3://"], ExitCode.USAGE),
        (["prune", "empty"], ExitCode.USAGE),
        (["ls", "empty"], ExitCode.OK),
    ],
)
def test_a_users_mistake_is_one_line_and_its_exit_code(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: ExitCode
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert cli("checkpoint", *words) == code
    assert "Traceback" not in cli.err
    assert cli.out == ""


def test_a_bucket_that_refuses_is_said_and_is_not_empty(cli: Cli, server: Server) -> None:
    uri = server.fresh()
    server.gate.faults = [Fault("any", "answer", 1000, code="AccessDenied")]
    assert cli("checkpoint", "ls", uri) == ExitCode.BACKEND
    assert "AccessDenied" in cli.err
    server.gate.faults.clear()
    assert cli("checkpoint", "ls", "s3://nowhere-at-all/x") == ExitCode.BACKEND


@pytest.mark.parametrize("mute", [False, True], ids=["nobody listens", "nobody answers"])
def test_a_bucket_that_is_not_there_is_said_at_once_and_given_up_soon(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, mute: bool
) -> None:
    monkeypatch.setattr(store_patience, "SITTING_S", 0.5)
    monkeypatch.setattr(bucket, "SITTING_TIMEOUTS_S", (0.3, 0.3))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if mute:
            listening.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert cli("checkpoint", "ls", "s3://bkt/x") == ExitCode.BACKEND
    waiting, trouble = cli.err.strip().splitlines()
    assert waiting.startswith("waiting for an answer, at most ")
    assert "127.0.0.1" in trouble
    assert cli.out == ""


@HOW
def test_show_steps_over_what_is_no_checkpoint_and_says_so(cli: Cli, shelf: Shelf, how: str) -> None:
    shelf.damage(f"step-000000004/{MANIFEST}", None)
    assert cli.json("checkpoint", "show", shelf.uri)["name"] == "step-000000002"
    assert "passed over: " in cli.err and "step-000000004" in cli.err
    for number in (1, 2):
        shelf.damage(f"step-00000000{number}/{MANIFEST}", b"{}")
    assert cli("checkpoint", "show", shelf.uri) in (ExitCode.DAMAGED, ExitCode.NOT_FOUND)
    assert cli.out == ""


def test_a_checkpoint_of_an_older_format_is_shown_as_that(cli: Cli, tmp_path: Path) -> None:
    one = made(tmp_path / "c", 1, FILES)
    forge(tmp_path / "c" / one.name, format=1)
    [row] = cli.json("checkpoint", "ls", tmp_path / "c")
    assert not row["whole"]
    assert "older" in row["fault"]
    assert cli("checkpoint", "show", tmp_path / "c") == ExitCode.USAGE
    assert cli("checkpoint", "verify", tmp_path / "c") == ExitCode.DAMAGED
