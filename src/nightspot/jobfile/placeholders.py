"""Placeholders: `{night}` and its like, filled in when a night is planned. Literal braces are doubled."""

from __future__ import annotations

import re
from typing import Iterable, Mapping, Optional

from nightspot.errors import JobFileError
from nightspot.jobfile.fields import nearest

MEANINGS: Mapping[str, str] = {
    "night": "the local date of the deadline: 2026-11-25",
    "deadline": "the deadline in UTC: 20261125T0700Z",
    "run_id": "the run: recommender-20261125T0700Z",
    "name": "the job's name",
    "run_folder": "the folder that holds all of the run",
    "checkpoint_dir": "the folder for checkpoints",
    "artifact": "the file that the program writes the finished model to",
    "python": "the Python that nightspot runs on",
}
TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# One of these makes a path that no other run has.
OF_ONE_RUN = frozenset({"run_id", "run_folder"})
# What may stand in the addresses and the request of a night on SageMaker, where there are no folders of ours.
IN_REQUESTS = frozenset({"night", "deadline", "run_id", "name"})
PATH_NAMES = frozenset({"night", "deadline", "run_id", "name", "run_folder"})


def check(template: str, file: str, field: str, known: Iterable[str] = tuple(MEANINGS)) -> None:
    """JobFileError if the template has a placeholder that cannot stand there, or a lone brace."""
    names = set(known)
    for token in TOKEN.finditer(template):
        name = token[1]
        if token[0] in ("{", "}"):
            raise JobFileError(file, field, template, f"a lone {token[0]!r}", "Literal braces are doubled: {{ and }}.")
        if name is not None and name not in names:
            hint = f"{nearest(name, names)} Literal braces are doubled: {{{{ and }}}}."
            raise JobFileError(file, field, template, f"there is no placeholder {token[0]!r} here", hint)


def names_in(template: str) -> frozenset[str]:
    """The names that stand in braces."""
    return frozenset([name for name in TOKEN.findall(template) if name])


def expand(template: str, values: Mapping[str, Optional[str]], file: str, field: str) -> str:
    """The template with its placeholders filled in. JobFileError for an unknown one, or one whose value this night does not have."""
    check(template, file, field, values)

    def replacement(token: re.Match[str]) -> str:
        if token[1] is None:
            return token[0][0]
        value = values[token[1]]
        if value is None:
            raise JobFileError(file, field, template, f"{{{token[1]}}} is not set", MISSING[token[1]])
        return value

    return TOKEN.sub(replacement, template)


MISSING: Mapping[str, str] = {
    "artifact": 'Name the file that the program writes: artifact = "model.pt".',
    "checkpoint_dir": 'Name the folder: [checkpoint] directory = "checkpoints/{run_id}".',
    "run_folder": "Write the path out.",
}
