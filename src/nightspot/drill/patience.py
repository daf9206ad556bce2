"""Says that something goes on, for whoever looks at a screen on which nothing moves."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

EVERY_S = 60.0


@contextmanager
def told(what: str, say: Callable[[str], None], every_s: float = EVERY_S) -> Iterator[None]:
    """While the block runs: a line every so often, and none where it ends before the first is due."""
    over = threading.Event()
    began_s = time.monotonic()

    def tell() -> None:
        while not over.wait(every_s):
            say(f"{what}: {round((time.monotonic() - began_s) / 60)} min so far")

    teller = threading.Thread(target=tell, name="nightspot-drill-patience", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


@contextmanager
def playing(what: str, say: Callable[[str], None], more: str = "playing", every_s: float = EVERY_S) -> Iterator[None]:
    """The same with a line at its beginning, and, where nothing goes wrong, one at its end."""
    say(f"{what}: {more}")
    began_s = time.monotonic()
    with told(what, say, every_s):
        yield
    say(f"{what}: played in {time.monotonic() - began_s:.0f} s")
