"""The error tree, and the exit codes a shell or a scheduler sees.

    NightspotError
    ├── JobFileError          the job file: file, field, value, what was expected, what to do
    ├── NotFoundError         no such Run, Attempt or file of ours
    ├── StoppedError          the user left, or another condition outside the night ended this command
    ├── JournalError          the Journal cannot be read or written
    │   ├── JournalVersionError   written by a newer nightspot
    │   └── Fenced            another controller appended first: this one must not act
    └── BackendError          a backend's own trouble
        ├── Unsure            no answer within the call's budget, or one that makes no sense: never a guess
        └── UnknownBackendError   no backend of that name is installed

Each error says its whole sentence, and carries the exit code of a command that ends with it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means. Documented in docs/reference/exit-codes.md."""

    OK = 0
    BUG = 1
    USAGE = 2
    LATE = 3
    FAILED = 4
    NO_CAPACITY = 5
    EXPIRED = 6
    CANCELLED = 7
    BAD_JOB_FILE = 8
    OTHER_CONTROLLER = 9
    JOURNAL = 10
    NOT_FOUND = 11
    LEFT_RUNNING = 12
    BACKEND = 13
    DAMAGED = 14
    NOT_PROVEN = 15


class NightspotError(Exception):
    """Anything nightspot itself raises for its user."""

    exit_code = ExitCode.BUG


class JobFileError(NightspotError):
    """The job file does not describe a night that can be run.

    `field` is the dotted path of the key (`deadline.at`), `value` what stood there (None: nothing did).
    """

    exit_code = ExitCode.BAD_JOB_FILE

    def __init__(self, file: str, field: str, value: object, expected: str, remedy: str) -> None:
        self.file, self.field, self.value = file, field, value
        self.expected, self.remedy = expected, remedy
        stood = "is missing" if value is None else f"= {value!r}"
        super().__init__(f"{file}: {field or 'the file'} {stood}: {expected}. {remedy}")


class NotFoundError(NightspotError):
    """There is no Run, Attempt or file of that name."""

    exit_code = ExitCode.NOT_FOUND


class StoppedError(NightspotError):
    """The command ended before the night did; the Attempt, if any, goes on."""

    exit_code = ExitCode.LEFT_RUNNING


class JournalError(NightspotError):
    """The Journal cannot be read or written. Without it nothing is launched."""

    exit_code = ExitCode.JOURNAL


class JournalVersionError(JournalError):
    """A newer nightspot wrote this Journal; this one refuses to touch it."""


class Fenced(JournalError):  # noqa: N818 - the field's word for it
    """Another controller appended to this Run first. The one that gets this must stop acting at once."""

    exit_code = ExitCode.OTHER_CONTROLLER


class BackendError(NightspotError):
    """A backend's own trouble, not the user's."""

    exit_code = ExitCode.BACKEND


class Unsure(BackendError):  # noqa: N818 - a state of knowledge, not a fault
    """The backend did not answer in time, or not sensibly. What it was asked about is neither alive nor dead."""


class UnknownBackendError(BackendError):
    """No installed backend has that name."""

    exit_code = ExitCode.BAD_JOB_FILE
