"""Which line of the user's own code is running: the nearest frame outside site-packages, the standard library and nightspot."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from typing import Optional

_HERE = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120
_NIGHTSPOT = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))  # noqa: PTH120
_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
)
_TYPED = ("<string>", "<stdin>")  # python -c, python -


def place() -> Optional[str]:
    """file:line, or None where nothing of the user's is on the stack."""
    frame = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None


@cache
def is_users(name: str) -> bool:
    """Whether code of that file name is the user's."""
    if name.startswith("<"):
        return name in _TYPED
    path = os.path.realpath(name)
    if "site-packages" in path or "dist-packages" in path or path.startswith(_NIGHTSPOT + os.sep):
        return False
    return not path.startswith(_LIBRARIES)
