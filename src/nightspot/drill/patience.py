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
