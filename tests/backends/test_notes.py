"""What this home remembers of an Attempt: the intent before the call, the news in their order, the end once."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import pytest

from nightspot.backends.aws.notes import ABSENT, Log, Note, run_keys
from nightspot.errors import Unsure
from nightspot.model.events import RefusalReason
from nightspot.night.ports import Refused
from tests.backends.specs import TOKEN, job, pool, spec


def test_an_intent_is_read_as_it_was_written(tmp_path: Path) -> None:
    asked = spec(pool({"A": {"b": [1, 2.5, None, True]}}), job(pool(), artifact="model.bin"), not_after_utc=math.inf)
    Note(tmp_path, TOKEN).intend(asked, 17.0)
    found = Note(tmp_path, TOKEN).intent
    assert found is not None
    assert (found.spec, found.asked_utc) == (asked, 17.0)


def test_the_first_intent_counts(tmp_path: Path) -> None:
    for asked_utc in (1.0, 2.0):
        Note(tmp_path, TOKEN).intend(spec(pool(options=MappingProxyType({"x": MappingProxyType({})}))), asked_utc)
    found = Note(tmp_path, TOKEN).intent
    assert found is not None
    assert found.asked_utc == 1.0


def test_an_intent_that_cannot_be_read_is_no_missing_one(tmp_path: Path) -> None:
    note = Note(tmp_path, TOKEN)
    assert note.intent is None
    note.intend(spec(pool()), 1.0)
    (note.folder / "intent.json").write_text('{"spec": {"run')
    with pytest.raises(Unsure):
        _ = Note(tmp_path, TOKEN).intent


def test_what_was_given_up_stays_so_for_the_first_reason(tmp_path: Path) -> None:
    quota = Refused(RefusalReason.QUOTA, "0 instances")
    assert Note(tmp_path, TOKEN).refused is None
    assert Note(tmp_path, TOKEN).give_up(quota) == quota
    assert Note(tmp_path, TOKEN).give_up(ABSENT) == quota
    assert Note(tmp_path, TOKEN).refused == quota


def test_a_note_of_giving_up_that_cannot_be_read_still_counts(tmp_path: Path) -> None:
    note = Note(tmp_path, TOKEN)
    note.give_up(Refused(RefusalReason.QUOTA, ""))
    for text in ("", "[]", '{"reason": "unheard of", "message": ""}'):
        (note.folder / "given-up.json").write_text(text)
        assert Note(tmp_path, TOKEN).refused == ABSENT


def test_the_end_is_what_was_written_first(tmp_path: Path) -> None:
    note = Note(tmp_path, TOKEN)
    note.intend(spec(pool()), 1.0)
    note.end({"kind": "taken"})
    note.end({"kind": "succeeded"})
    assert Note(tmp_path, TOKEN).exit == {"kind": "taken"}


def test_of_two_controllers_one_is_at_it(tmp_path: Path) -> None:
    with ExitStack() as first:
        first.enter_context(Note(tmp_path, TOKEN).locked())
        with pytest.raises(Unsure, match="another controller"), Note(tmp_path, TOKEN).locked(patience_s=0.05):
            pytest.fail("both were let in")
    with Note(tmp_path, TOKEN).locked(patience_s=0.0):
        pass


def test_a_torn_line_was_never_told_and_the_next_is_not_glued_to_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "news.jsonl")
    log.append([{"n": 1}, {"n": 2}])
    with (tmp_path / "news.jsonl").open("ab") as file:
        file.write(b'{"n": 3')
    assert log.lines() == [{"n": 1}, {"n": 2}]
    log.append([{"n": 4}])
    assert [json.loads(line) for line in (tmp_path / "news.jsonl").read_text().splitlines()] == [
        {"n": 1},
        {"n": 2},
        {"n": 4},
    ]


def test_a_damaged_line_keeps_its_number(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_bytes(b'{"n": 1}\n\x00\x00\n{"n": 3}\n')
    assert Log(tmp_path / "news.jsonl").lines() == [{"n": 1}, {}, {"n": 3}]


def test_nights_are_known_by_the_tokens_this_home_launched(tmp_path: Path) -> None:
    assert run_keys(tmp_path) == set()
    for token in ("a-x-001", "a-x-002", "b-y-001"):
        Note(tmp_path, token).intend(spec(pool()), 1.0)
    assert run_keys(tmp_path) == {"a-x", "b-y"}
