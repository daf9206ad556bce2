"""Tests begin with the signals of a terminal, whatever started them: what a shell starts in the background ignores Ctrl-C, and hands that on."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
