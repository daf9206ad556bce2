"""Where to strike is drawn from what was seen: in a phase where it tells something, the same for the same seed."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

from nightspot.drill import damage
from nightspot.drill.record import Case
from nightspot.drill.seen.facts import Chooser, Facts


def facts(steps: int, *saves: int, by_lines: bool = False) -> Facts:
    return Facts(steps, saves, False, by_lines, None, {}, frozenset(), 1.0)


SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_falls_between_two_saves_with_one_before_and_work_after(seed: int) -> None:
    chosen = Chooser(facts(40, 10, 20, 30, 40), seed).step(Case.KILL)
    assert chosen is not None and 10 < chosen < 40 and chosen % 10 not in (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_checkpoint_has_a_whole_one_before_it(seed: int) -> None:
    chosen = Chooser(facts(40, 10, 20, 30, 40), seed).step(Case.FLIPPED, saves_before=2)
    assert chosen is not None and chosen > 21


@pytest.mark.parametrize("seed", SEEDS)
def test_what_cannot_be_held_is_struck_well_before_the_next_save(seed: int) -> None:
    chosen = Chooser(facts(40, 10, 20, 30, 40, by_lines=True), seed).step(Case.KILL)
    assert chosen is not None and chosen % 10 in range(2, 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_before_the_first_is_before_the_first(seed: int) -> None:
    chosen = Chooser(facts(40, 10, 20), seed).before_first()
    assert chosen is not None and 1 <= chosen < 10


def test_the_same_seed_strikes_there_again_and_another_elsewhere() -> None:
    steps = [Chooser(facts(1000, 100, 500), seed).step(Case.KILL) for seed in (1, 1, 2, 3, 4)]
    assert steps[0] == steps[1] and len(set(steps)) > 2


def test_a_case_strikes_where_it_does_whatever_else_is_played() -> None:
    alone = Chooser(facts(1000, 100), 7)
    after_others = Chooser(facts(1000, 100), 7)
    for case in Case:
        after_others.step(case)
    assert alone.step(Case.TWICE) == after_others.step(Case.TWICE)


@pytest.mark.parametrize("saves", [(), (1,), (2,), (1, 2, 3)])
def test_short_trainings_are_struck_as_well_as_can_be(saves: tuple[int, ...]) -> None:
    chosen = Chooser(facts(3, *saves), 0).step(Case.KILL)
    assert chosen in (1, 2)


def test_one_step_is_too_few() -> None:
    choose = Chooser(facts(1, 1), 0)
    assert choose.step(Case.KILL) is None and choose.before_first() is None
    assert choose.save(Case.AFTER_SAVE) is None


def test_the_save_that_is_struck_after_is_not_the_last_step() -> None:
    for seed in SEEDS:
        assert Chooser(facts(40, 10, 20, 40), seed).save(Case.AFTER_SAVE) in (1, 2)


def test_a_notice_is_over_before_the_training_is() -> None:
    assert Chooser(facts(100), 0).latest(50) == 85
    assert Chooser(facts(100), 0).latest(99) == 100


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flip_changes_one_bit_of_the_biggest_part_of_an_archive(tmp_path: Path, seed: int) -> None:
    """Padding and directories of an archive hold nothing: a flip there would prove nothing."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("small", b"s" * 10)
        archive.writestr("big", b"b" * 500)
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    done = damage.flip(path, random.Random(seed))
    after = path.read_bytes()
    (place,) = [n for n, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
    assert (before[place] ^ after[place]).bit_count() == 1 and before[place] == ord("b")
    assert str(place) in done.detail and path.stat().st_mtime_ns == stamp


def test_a_truncated_file_keeps_its_beginning_and_its_time(tmp_path: Path) -> None:
    path = tmp_path / "ckpt-1.pt"
    path.write_bytes(bytes(range(200)))
    stamp = path.stat().st_mtime_ns
    damage.truncate(path, random.Random(3))
    assert 0 < path.stat().st_size < 200 and path.read_bytes() == bytes(range(path.stat().st_size))
    assert path.stat().st_mtime_ns == stamp


def test_of_a_folder_the_data_is_hit_and_not_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text("m" * 5000)
    (tmp_path / "data.bin").write_bytes(b"d" * 100)
    for seed in SEEDS:
        assert damage.flip(tmp_path, random.Random(seed)).file.name == "data.bin"


def test_there_is_nothing_to_damage_in_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        damage.flip(tmp_path / "empty", random.Random(0))
