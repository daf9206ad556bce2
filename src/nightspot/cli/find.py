"""Which Run an argument means: an id, a unique beginning of one, a job file, or `last`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Sequence

from nightspot.cli.choose import nights_of
from nightspot.errors import NotFoundError
from nightspot.jobfile.tomltext import read_document
from nightspot.night.journal import Journal

LAST = "last"
NEAREST = 3


def find_run(journal: Journal, wanted: str) -> str:
    """The id of that Run. NotFoundError, with what is nearest, where there is none, or more than one."""
    ids = list(journal.runs())
    if not ids:
        raise NotFoundError("nothing has been run yet in this home: `nightspot run FILE` begins a night")
    if wanted in ids:
        return wanted
    if wanted == LAST:
        return ids[-1]
    if wanted.endswith(".toml") or Path(wanted).is_file():
        return _of_job_file(journal, wanted)
    found = [run_id for run_id in ids if run_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise _not_found(wanted, found, ids)


def _of_job_file(journal: Journal, file: str) -> str:
    """The latest night of that job; an open one first. The file need not be right: its name is enough."""
    name = str(read_document(Path(file).expanduser().absolute(), file).get("name", ""))
    nights = nights_of(journal, name)
    if not nights:
        raise NotFoundError(
            f"{file}: no night of the job {name!r} has been run; `nightspot history` lists those that were"
        )
    alive = [state for state in nights if state.outcome is None]
    return (alive or nights)[-1].run_id


def _not_found(wanted: str, found: Sequence[str], ids: Sequence[str]) -> NotFoundError:
    if found:
        return NotFoundError(f"{wanted!r} is the beginning of {len(found)} runs: {_listed(found)}. Write more of it")
    near = difflib.get_close_matches(wanted, ids, NEAREST, 0.4) or ids[-NEAREST:]
    return NotFoundError(f"there is no run {wanted!r}. The nearest: {_listed(near)}. `nightspot history` lists all")


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[-NEAREST:])
    return f"{shown} and {len(ids) - NEAREST} more" if len(ids) > NEAREST else shown
