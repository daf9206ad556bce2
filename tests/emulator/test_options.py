"""The texts of options: what they mean, and a sentence for those that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from nightspot.emulator import options
from nightspot.emulator.errors import EmulatorOptionError
from nightspot.emulator.settings import Faults, Weather
from nightspot.model.capacity import Market

TRACE = '{"metadata": {"gap_seconds": 60}, "data": [0, 1, 1]}'


def test_markets_are_for_all_spot_pools_or_for_one_pool(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text(TRACE)
    texts = ["generator:7", f"ml.g5.xlarge={trace}", "ml.g6.xlarge:spot=never", "ml.g5.xlarge:on-demand=always"]
    everywhere, single = options.markets(texts)
    assert everywhere == Weather("generator", seed=7)
    assert single == {
        ("ml.g5.xlarge", Market.SPOT): Weather("trace", name=str(trace), trace_text=TRACE),
        ("ml.g6.xlarge", Market.SPOT): Weather("never"),
        ("ml.g5.xlarge", Market.ON_DEMAND): Weather("always"),
    }
    assert options.markets([]) == (Weather("always"), {})


def test_faults_are_read_from_one_list() -> None:
    text = "throttle=0.1, internal=0.05,lost=0.02,slow=0.05,internal-error=1,no-signal,no-sync=3,seed=9"
    assert options.faults(text) == Faults(0.1, 0.05, 0.02, 0.05, 1.0, True, 3, 9)
    assert options.faults("") == Faults()


def test_quotas_and_factors() -> None:
    assert options.quotas(["ml.g5.xlarge:spot=2", "ml.g5.xlarge:on-demand=0"]) == {
        ("ml.g5.xlarge", Market.SPOT): 2,
        ("ml.g5.xlarge", Market.ON_DEMAND): 0,
    }
    assert options.factors(["0.4", "ml.g5.xlarge=0.2"]) == (0.4, {"ml.g5.xlarge": 0.2})


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (lambda text: options.markets([text]), "sometimes", "no such trace"),
        (lambda text: options.markets([text]), "generator:many", "whole number"),
        (lambda text: options.markets([text]), "ml.g5.xlarge:night=always", "instance type"),
        (lambda text: options.markets([text]), __file__, "this is not JSON"),
        (options.faults, "earthquake=0.1", "no such fault"),
        (options.faults, "throttle=2", "from 0 to 1"),
        (options.faults, "no-sync", "needs a whole number from 0: no-sync=3"),
        (options.faults, "throttle", "needs a rate, a number from 0 to 1: throttle=0.05"),
        (options.faults, "no-signal=1", "takes no value"),
        (options.faults, "seed=-1", "whole number"),
        (lambda text: options.quotas([text]), "ml.g5.xlarge", "TYPE:spot=N"),
        (lambda text: options.quotas([text]), "ml.g5.xlarge=3", "TYPE:spot=N or TYPE:on-demand=N"),
        (lambda text: options.quotas([text]), "ml.g5.xlarge:spot=", "TYPE:spot=N"),
        (lambda text: options.quotas([text]), "ml.g5.xlarge:spot=-3", "a whole number from 0, not '-3'"),
        (lambda text: options.quotas([text]), "ml.g5.xlarg:spot=3", r"Did you mean ml\.g5\.xlarge\?"),
        (lambda text: options.markets([text]), "ml.g5.xlarg=never", r"knows no .* Did you mean ml\.g5\.xlarge\?"),
        (lambda text: options.markets([text]), "ml.zz99.metal:on-demand=never", r"type ml\.zz99\.metal$"),
        (lambda text: options.factors([text]), "ml.g5.xlarg=0.2", "Did you mean"),
        (lambda text: options.interval("--sync-every", text), "0s", "above 0"),
        (lambda text: options.factors([text]), "cheap", "from 0 to 1"),
        (lambda text: options.duration("--idle-exit", text), "90", "no unit"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_sentence(read: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(EmulatorOptionError, match=said) as caught:
        read(text)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
