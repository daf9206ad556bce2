"""Both MovieLens formats are read; a file that is wrong is named, with the line and what was expected."""

import hashlib
from pathlib import Path

import pytest

from data import DataError, Interactions
from movielens import load

CSV = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,3.0,1260759179\n7,31,4.0,851868750\n"
U_DATA = "1\t31\t2\t1260759144\n1\t1029\t3\t1260759179\n7\t31\t4\t851868750\n"


def raw(data: Interactions) -> list[tuple[int, int, int]]:
    columns = data.user_ids[data.users], data.item_ids[data.items], data.times_s
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(("name", "text"), [("ratings.csv", CSV), ("u.data", U_DATA)])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_both_formats_give_the_same_rows(
    tmp_path: Path, name: str, text: str, newline: str, whole_folder: bool
) -> None:
    (tmp_path / name).write_bytes(text.replace("\n", newline).encode())
    data = load(tmp_path if whole_folder else tmp_path / name)
    assert raw(data) == [(1, 31, 1260759144), (1, 1029, 1260759179), (7, 31, 851868750)]
    assert data.users.tolist() == [0, 0, 1]
    assert data.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_mark_at_the_start_of_the_file_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("\ufeff" + CSV + "\n\n", encoding="utf-8")
    assert len(load(tmp_path)) == 3


def test_a_repeated_pair_counts_once(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("5\t6\t1\t100\n5\t7\t1\t110\n5\t6\t5\t120\n")
    assert raw(load(tmp_path)) == [(5, 6, 100), (5, 7, 110)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected ratings, found none"),
        ("user,item\n1,2\n", "line 1: expected the header userId,movieId,rating,timestamp, or four numbers"),
        ("userId,movieId,rating,timestamp\n", "expected ratings, found none"),
        (CSV + "1,2,3\n", r"line 5: expected 4 fields separated by ',', found '1,2,3'"),
        (CSV + "1,2,good,4\n", r"line 5: expected a rating \(a finite number\), found 'good'"),
        (CSV + "1,2,nan,4\n", r"line 5: expected a rating \(a finite number\), found 'nan'"),
        (CSV + "x,2,3,4\n", "line 5: expected a user id .*, found 'x'"),
        (CSV + "1,-2,3,4\n", "line 5: expected an item id .*, found '-2'"),
        (CSV + "1,2,3,4.5\n", "line 5: expected a timestamp in seconds .*, found '4.5'"),
        (CSV + f"1,2,3,{2**63}\n", "line 5: expected a timestamp in seconds .*, found '9223372036854775808'"),
        (U_DATA + "1 2 3 4\n", r"line 4: expected 4 fields separated by '\\t', found '1 2 3 4'"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_expectation(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "given.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"given\.csv(:|,) {message}"):
        load(path)


def test_a_missing_file_an_empty_folder_and_a_binary_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: expected a file, found none"):
        load(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"expected ratings\.csv or u\.data in this folder, found none"):
        load(tmp_path)
    (tmp_path / "u.data").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"u\.data: cannot be read as UTF-8 text"):
        load(tmp_path)
