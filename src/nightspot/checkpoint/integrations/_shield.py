"""SIGTERM goes to the whole process group, and loaders' workers must outlive it: a training whose workers die ends by an
error before its last checkpoint is saved. `ResumableSampler.batches` sees to that in a plain loop; here loaders are
started by the framework, for training and validation, whenever it likes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

STATEFUL = "torchdata.stateful_dataloader.stateful_dataloader"


def shield_workers() -> Callable[[], None]:
    """Workers that any loader starts from now on ignore SIGTERM, until the function returned is called.

    They end as ever: when their loader is done with them, or their parent is gone.
    """
    stack = ExitStack()
    for kind in _loaders():
        stack.callback(_shield(kind))
    return stack.close


def _shield(kind: Any) -> Callable[[], None]:
    start = vars(kind)["_get_iterator"]

    def shielded(loader: Any) -> Any:
        with _held():
            return start(loader)

    kind._get_iterator = shielded
    return partial(setattr, kind, "_get_iterator", start)


@contextmanager
def _held() -> Iterator[None]:
    """Processes started meanwhile inherit the mask; a SIGTERM for us waits these few moments."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _loaders() -> Iterator[Any]:
    """Classes of loaders that start workers in a way of their own."""
    yield sys.modules["torch.utils.data"].DataLoader
    stateful = getattr(sys.modules.get(STATEFUL), "StatefulDataLoader", None)
    if "_get_iterator" in vars(stateful or object):
        yield stateful
