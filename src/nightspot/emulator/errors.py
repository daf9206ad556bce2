"""What goes wrong: in starting the emulator (for its user), and in a request (for the client, as AWS says it)."""

from __future__ import annotations

from nightspot.errors import ExitCode, NightspotError


class EmulatorError(NightspotError):
    """The emulator cannot work here: something is missing, in use, or broken."""

    exit_code = ExitCode.BACKEND


class EmulatorOptionError(NightspotError):
    """An option of the emulator makes no sense."""

    exit_code = ExitCode.USAGE


class ApiError(Exception):
    """An answer that is an error: the code and the message as AWS gives them, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> ApiError:
    """The request breaks a rule."""
    return ApiError("ValidationException", message)


class DroppedConnection(ConnectionError):  # noqa: N818 - an event, not a fault of ours
    """The fault "lost": the request was carried out, and nothing comes back."""
