"""The files where controller, supervisor and training process meet: whole or not there, torn lines, full disks."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from nightspot.process.files import read_json, write_first, write_soon, write_whole
from nightspot.process.folder import AttemptFolder
from nightspot.process.news import NewsReader, NewsWriter
from nightspot.process.progress import LINE_BYTES_MAX, Tail, facts_of, metrics_of, parse, units_of


def test_of_many_who_write_first_one_wins_and_its_document_stays(tmp_path: Path) -> None:
    path, won = tmp_path / "f.json", []
    threads = [threading.Thread(target=lambda n=n: won.append(n) if write_first(path, n) else None) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert read_json(path) == won[0]
    assert [found.name for found in tmp_path.iterdir()] == ["f.json"]


def test_a_write_that_fails_leaves_the_old_document_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.json"
    write_whole(path, 1)
    monkeypatch.setattr(os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OSError, match="no space"):
        write_whole(path, 2)
    assert read_json(path) == 1
    assert [found.name for found in tmp_path.iterdir()] == ["f.json"]


def test_what_is_written_often_may_fail_and_says_so(tmp_path: Path) -> None:
    assert write_soon(tmp_path / "f.json", {"a": 1})
    assert not write_soon(tmp_path / "absent" / "f.json", {"a": 2})
    assert read_json(tmp_path / "f.json") == {"a": 1}


def test_nonsense_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('{"a": ')
    assert read_json(tmp_path / "f.json") is None
    assert read_json(tmp_path / "absent") is None


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a b", "x" * 201, "a\n"])
def test_a_folder_is_named_by_a_token_and_by_nothing_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no token"):
        AttemptFolder(tmp_path / "parent" / name if name else Path("/"))


def test_the_lock_is_for_one_and_free_again_when_let_go(tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path / "token")
    assert (folder.make(), folder.make()) == (True, False)
    with folder.locked() as free:
        assert free
        assert folder.try_lock() is None
        with folder.locked() as again:
            assert not again
    with folder.locked() as free:
        assert free


def test_news_are_read_on_from_any_cursor(tmp_path: Path) -> None:
    writer, reader = NewsWriter(tmp_path / "news"), NewsReader(tmp_path / "news")
    assert reader.since(0) == (0, [])
    for number in range(5):
        writer.add("warning", float(number))
    assert [line["at_utc"] for line in reader.since(0)[1]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    writer.add("warning", 5.0)
    assert reader.since(5) == (6, [{"kind": "warning", "at_utc": 5.0}])
    assert reader.since(6) == (6, [])
    assert len(reader.since(2)[1]) == 4
    assert NewsReader(tmp_path / "news").since(4)[0] == 6


def test_a_torn_last_line_of_news_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "news"
    path.write_bytes(b'{"kind": "a"}\n{"kind": ')
    reader = NewsReader(path)
    assert reader.since(0) == (1, [{"kind": "a"}])
    with path.open("ab") as file:
        file.write(b'"b"}\n\0\0\0\n{"kind": "c"}\n')
    assert reader.since(1) == (4, [{"kind": "b"}, {}, {"kind": "c"}])


def test_news_that_do_not_fit_on_the_disk_are_written_later_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "news", os.write
    writer = NewsWriter(path)
    writer.add("a", 1.0)
    monkeypatch.setattr(os, "write", lambda fd, line: write(fd, line[:5]))
    writer.add("b", 2.0)
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["a"]
    monkeypatch.setattr(os, "write", lambda fd, line: (_ for _ in ()).throw(OSError(28, "no space")))
    writer.add("c", 3.0)
    monkeypatch.setattr(os, "write", write)
    assert writer.flush()
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


def test_progress_comes_in_pieces_and_is_read_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    tail = Tail(path)
    assert tail.lines() == []
    with path.open("ab", 0) as file:
        file.write(b'{"kind": "trai')
        assert tail.lines() == []
        file.write(b'ning"}\n\n{"kind": "progress"}\n{"ki')
        assert tail.lines() == [b'{"kind": "training"}', b'{"kind": "progress"}']
        assert tail.lines() == []


def test_a_progress_file_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    tail = Tail(path)
    path.write_bytes(b"a\nbcd\n")
    assert tail.lines() == [b"a", b"bcd"]
    path.write_bytes(b"e\n")
    assert tail.lines() == [b"e"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    tail = Tail(path)
    path.write_bytes(b"{" * (LINE_BYTES_MAX + 10))
    assert tail.lines() == []
    with path.open("ab") as file:
        file.write(b'\n{"kind": "done"}\n')
    assert [line for line in tail.lines() if parse(line)] == [b'{"kind": "done"}']


@pytest.mark.parametrize("line", [b"", b"{", b"3", b"[]", b'{"kind": 3}', b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_line_of_the_protocol_is_passed_over(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("units", ["NaN", "Infinity", "-1", '"3"', "true", "null", "[]"])
def test_units_that_are_no_count_are_none(units: str) -> None:
    said = parse(b'{"kind": "progress", "units_done": %s}' % units.encode())
    assert said is not None
    assert units_of(said) is None


def test_metrics_are_numbers_and_facts_are_texts() -> None:
    said = parse(b'{"kind": "done", "units_done": 3, "metrics": {"a": 1, "b": "x", "c": true}, "facts": {"d": 5}}')
    assert said is not None
    assert (units_of(said), metrics_of(said), facts_of(said)) == (3.0, {"a": 1.0}, {"d": "5"})
    assert (metrics_of({"metrics": 3}), facts_of({"facts": []})) == ({}, {})
