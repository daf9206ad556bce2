"""Tests begin with a terminal's signals, whatever started them: a background job of a shell ignores Ctrl-C, and hands that on.

And botocore reads its models once in a process, not once for each client: half of what many a test took was JSON, the same again and again.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import lru_cache

signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)

with suppress(ImportError):
    import botocore.session

    botocore.session.create_loader = lru_cache(maxsize=None)(botocore.session.create_loader)
