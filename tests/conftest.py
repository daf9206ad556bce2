"""Tests begin with a terminal's signals, whatever started them: a background job of a shell ignores Ctrl-C, and hands that on.

And botocore reads its models once in a process, not once for each client: half of what many a test took was JSON, the same again and again.

Among several workers, what takes long begins first: the end is even then, and nobody waits for one real night that began last.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import lru_cache
from typing import Sequence

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)

with suppress(ImportError):
    import botocore.session

    botocore.session.create_loader = lru_cache(maxsize=None)(botocore.session.create_loader)

# Some of the seconds that these take, whole modules, on two busy cores. A module that is not here is no mistake.
LONG_S = {
    "examples/test_recommender_night.py": 150,
    "examples/test_drill_on_sagemaker.py": 160,
    "backends/test_sagemaker_nights.py": 125,
    "backends/test_sagemaker_torn.py": 110,
    "examples/test_recommender_sagemaker.py": 100,
    "cli/test_real_nights.py": 90,
    "emulator/test_process.py": 90,
    "checkpoint/test_ranks_training.py": 85,
    "drill/test_faulty_classic.py": 80,
    "sagemaker/test_fit.py": 65,
    "drill/test_plugin.py": 60,
    "contract/test_real_night.py": 60,
    "emulator/test_sdk.py": 55,
    "checkpoint/test_ahead_session.py": 50,
    "checkpoint/integrations/test_transformers.py": 50,
    "examples/test_recommender_interruption.py": 50,
    "examples/test_recommender_drill.py": 45,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker of `--dist worksteal` begins with a share of equal length of them, whatever tests were asked for."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = shared(items, workers)


def shared(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The same tests: worksteal gives each worker a run of them, of the same number, in this order."""
    long: dict[str, list[pytest.Item]] = {}
    rest: list[pytest.Item] = []
    for item in items:
        module = item.nodeid.partition("::")[0].removeprefix("tests/")
        (long.setdefault(module, []) if module in LONG_S else rest).append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    taken_s = [0] * workers
    for module in sorted(long, key=lambda name: -LONG_S[name]):
        least = taken_s.index(min(taken_s))
        shares[least] += long[module]
        taken_s[least] += LONG_S[module]
    return _filled(shares, rest)


def _filled(shares: list[list[pytest.Item]], rest: Sequence[pytest.Item]) -> list[pytest.Item]:
    total = sum(map(len, shares)) + len(rest)
    ordered: list[pytest.Item] = []
    for number, share in enumerate(shares):
        size = (total - len(ordered)) // (len(shares) - number)
        ordered += share
        missing = max(0, size - len(share))
        ordered, rest = [*ordered, *rest[:missing]], rest[missing:]
    return [*ordered, *rest]
