"""What can go wrong between a notebook and a night.

NightspotError
├── EstimatorError     this estimator, or what was said with it, makes no night
├── NightNotRunError   `nightspot run` ended without a night: its sentence, and its exit code
└── PastJobError       the past training job cannot be read
"""

from __future__ import annotations

from nightspot.errors import ExitCode, NightspotError


class EstimatorError(NightspotError):
    """No request can be recorded from this estimator, or no night made of it."""

    exit_code = ExitCode.USAGE


class NightNotRunError(NightspotError):
    """`nightspot run` ended before there was a night to tell of. `exit_code` is its own."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.exit_code = ExitCode(code) if code in set(ExitCode) else ExitCode.BUG


class PastJobError(NightspotError):
    """There is no such training job, or it cannot be read from here."""

    exit_code = ExitCode.NOT_FOUND
