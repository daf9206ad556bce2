"""What the demo makes of a machine's measurements."""

import pytest

import demo
from nightspot.jobfile import load_job


def measured(epoch_s: float, startup_s: float = 2.0) -> dict[str, float]:
    return {"epoch_s": epoch_s, "startup_s": startup_s, "save_s": 0.01}


@pytest.mark.parametrize("epoch_s", [0.1, 1.2, 2.2])
def test_an_epoch_fits_into_what_the_job_file_plans_for_it(epoch_s: float) -> None:
    job_file = load_job(demo.HERE / "nightspot.toml", demo.settings(measured(epoch_s)))
    assert epoch_s * job_file.document.time_scale <= demo.EPOCH_MARKET_S / 1.2


def test_a_start_fits_into_its_bound() -> None:
    document = load_job(demo.HERE / "nightspot.toml", demo.settings(measured(1.5, startup_s=4.0))).document
    for pool in document.pools:
        assert pool.bounds is not None
        assert pool.bounds.lead >= 4.0 * document.time_scale


def test_a_night_takes_under_three_minutes_on_a_slow_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {48: 9.0}
    monkeypatch.setattr(demo, "measure", lambda negatives: measured(slow.get(negatives, 9.0 * negatives / 48)))
    _, changes = demo.fitted()
    scale = load_job(demo.HERE / "nightspot.toml", changes).document.time_scale
    assert 10 * 3600 / scale < 160
    assert any("--negatives 11" in change for change in changes)
