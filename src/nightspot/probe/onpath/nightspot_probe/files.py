"""Files of the folders that the drill named: opened, written, renamed. By Python's audit events, so for scripts without torch, too."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional

from nightspot_probe.lines import Lines
from nightspot_probe.place import place
from nightspot_probe.watch import Watch, name_of

_WRITING = os.O_WRONLY | os.O_RDWR


class Watched:
    """An audit hook. `watch` is set once torch is there, and knows how many steps were done."""

    def __init__(self, lines: Lines, folders: str) -> None:
        self.lines, self.own = lines, name_of(lines.path)
        self.folders = tuple(os.path.realpath(one) + os.sep for one in folders.split(os.pathsep) if one)
        self.watch: Optional[Watch] = None
        self.busy = False

    def listen(self) -> None:
        """From now on; a hook cannot be taken back."""
        if self.folders:
            sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename") or self.busy:
            return
        self.busy = True
        try:
            self._tell(event, arguments)
        except Exception:  # noqa: S110 - whatever it was, the training's call goes on
            pass
        finally:
            self.busy = False

    def _tell(self, event: str, arguments: tuple[Any, ...]) -> None:
        path = name_of(arguments[1] if event == "os.rename" else arguments[0])
        if path is None or path == self.own or not os.path.realpath(path).startswith(self.folders):
            return
        where = place()
        if where is None:
            return
        index = self.watch.index if self.watch is not None else 0
        what, detail = _named(event, arguments)
        self.lines.say("touch", what=what, index=index, path=path, where=where, detail=detail)


def _named(event: str, arguments: tuple[Any, ...]) -> tuple[str, Optional[str]]:
    if event == "os.rename":
        return "rename", name_of(arguments[0])
    mode, flags = arguments[1], arguments[2]
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & _WRITING)
    return ("write" if writes else "read"), None
