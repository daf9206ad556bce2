"""One contract over every Journal, and what SQLite adds: durability settings, versions, two processes at once."""

from __future__ import annotations

import sqlite3
from multiprocessing import get_context
from pathlib import Path

import pytest

from nightspot.errors import Fenced, JournalError, JournalVersionError
from nightspot.model.capacity import Sight
from nightspot.model.events import Event, OfferChanged, UserAsked
from nightspot.model.state import replay
from nightspot.night.codec import decode, encode, kind_of
from nightspot.night.journal import Journal, MemoryJournal
from nightspot.night.sqlite import SqliteJournal
from nightspot.policy.baselines import Greedy
from tests.night.worlds import World, guarded, trace


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal.sqlite")


def a_night() -> list[Event]:
    night, _ = World({"spot": trace(0.5, 1.0, 2.0, 2.5)}, save_every_s=600.0).night(guarded(Greedy()))
    return [record.event for record in night.journal.read("night-1")]


def test_what_was_appended_is_read_back_in_order_and_equal(journal: Journal) -> None:
    events = a_night()
    journal.append("night-1", 0, events[:3])
    journal.append("night-1", 3, events[3:])
    records = journal.read("night-1")
    assert [r.event for r in records] == events
    assert [r.seq for r in records] == list(range(1, len(events) + 1))
    assert replay(r.event for r in records).outcome is not None


def test_the_loser_of_a_race_is_fenced_and_nothing_of_it_is_kept(journal: Journal) -> None:
    journal.append("r", 0, [UserAsked(1.0, "stop")])
    with pytest.raises(Fenced):
        journal.append("r", 0, [UserAsked(2.0, "stop"), UserAsked(3.0, "stop")])
    assert len(journal.read("r")) == 1


def test_runs_do_not_see_each_other(journal: Journal) -> None:
    journal.append("a", 0, [UserAsked(1.0, "stop")])
    journal.append("b", 0, [OfferChanged(1.0, "spot", Sight.UP)])
    assert (len(journal.read("a")), len(journal.read("b")), len(journal.read("c"))) == (1, 1, 0)
    assert sorted(journal.runs()) == ["a", "b"]


def test_every_event_survives_json() -> None:
    for event in a_night():
        assert decode(kind_of(event), encode(event)) == event


def test_an_unknown_or_damaged_event_is_a_clear_error() -> None:
    with pytest.raises(JournalError, match="does not know: upgrade"):
        decode("SpotTeleported", "{}")
    with pytest.raises(JournalError, match="unreadable UserAsked"):
        decode("UserAsked", "{}")


def test_a_newer_journal_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with pytest.raises(JournalVersionError, match="newer nightspot"):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_text("this is not a database, by far not")
    with pytest.raises(JournalError, match="cannot be used"):
        SqliteJournal(path)


def test_it_writes_with_full_synchronisation(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def append_many(path: Path, count: int, queue: object) -> None:
    journal = SqliteJournal(path)
    won = 0
    for _ in range(count):
        try:
            journal.append("r", len(journal.read("r")), [UserAsked(0.0, "stop")])
            won += 1
        except Fenced:
            pass
    queue.put(won)  # type: ignore[attr-defined]


def test_two_processes_never_write_the_same_place_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path).close()
    context = get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=append_many, args=(path, 30, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    won = sum(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert len(SqliteJournal(path).read("r")) == won
