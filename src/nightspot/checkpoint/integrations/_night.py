"""What the callbacks share: one Session, opened late, since a framework makes its optimizers when it starts to train."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nightspot.checkpoint import random_state
from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.integrations._shield import shield_workers
from nightspot.checkpoint.session import Restored, Session

UNITS = ("epoch", "step")
States = Callable[[], Mapping[str, object]]


class Night:
    """The life of a callback's Session: open, step, done, close; for one training only.

    unit: what `units_done` counts. session: further arguments of Session.
    Raises TypeError or ValueError at once for arguments that cannot be meant.
    """

    def __init__(self, folder: str | Path | None, unit: str, session: Mapping[str, Any]) -> None:
        if folder is not None and not str(folder):
            raise ValueError(
                "folder = '': expected a path for checkpoints, or None where nightspot's environment names it"
            )
        if unit not in UNITS:
            raise ValueError(f"unit = {unit!r}: expected 'epoch' or 'step', as the job file's [work] says")
        inspect.signature(Session).bind({}, folder=folder, **session)
        self.unit = unit
        self._arguments: dict[str, Any] = {"folder": folder, **session}
        self._used = False
        self._session: Session | None = None
        self._handler: Any = None

    def open(self, states: States) -> Restored | None:
        """Go on from the newest checkpoint; the global random states stay as the program has them until `continue_random`.

        Raises SystemExit(78) where Session would, and where `states` raises ConfigError.
        """
        live = self._checked(states)
        before = signal.getsignal(signal.SIGTERM)
        self._session = Session(live, **self._arguments).__enter__()
        handler = signal.getsignal(signal.SIGTERM)
        self._handler = None if handler is before else handler
        self._take_off = shield_workers()
        with self.closing_on_error():
            natural = random_state.capture()
            found = self._session.restore()
            random_state.restore(natural)
        return found

    def refuse(self, message: str) -> None:
        """Raises SystemExit(78), in the way of a Session: starting again will not help."""
        with Session({}, **self._arguments):
            raise ConfigError(message)

    def _checked(self, states: States) -> Mapping[str, object]:
        if self._used:
            self.refuse("this NightspotCallback has served one training already: make a new one for each")
        self._used = True
        try:
            return states()
        except ConfigError as error:
            self.refuse(str(error))
            raise

    @property
    def is_open(self) -> bool:
        """A training is under way, or over and not yet `done`."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """The open one."""
        if self._session is None:
            raise RuntimeError("no training has begun with this NightspotCallback, or it is over: there is no session")
        return self._session

    def listen_alone(self) -> None:
        """SIGTERM is ours: a framework that put its own handler around it would end training in the middle of a step."""
        if self._handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)

    def continue_random(self) -> None:
        """The global random states of the checkpoint, from now on."""
        self.session.restore_random()

    def done(self, units_done: float, metrics: Mapping[str, float] | None, facts: Mapping[str, str] | None) -> None:
        """See Session.done; then close."""
        self.session.done(units_done, metrics, facts)
        self.close()

    def close(self, error: BaseException | None = None) -> None:
        """Let go of the folder and of SIGTERM; nothing, where nothing is open. A ConfigError becomes SystemExit(78)."""
        session, self._session = self._session, None
        if session is not None:
            self._take_off()
            session.__exit__(type(error) if error is not None else None, error, None)

    def closing_on_error(self) -> ExitStack:
        """A context: what leaves it by an exception closes the session."""
        stack = ExitStack()
        stack.push(lambda _kind, error, _trace: self.close(error) if error is not None else None)
        return stack


def say(message: str) -> None:
    """To the user's terminal or log."""
    print(f"nightspot: {message}", file=sys.stderr, flush=True)  # noqa: T201
