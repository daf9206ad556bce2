"""Tests begin with a terminal's signals, whatever started them: a background job of a shell ignores Ctrl-C, and hands that on."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
