"""S3, STS, IAM, logs and the like: moto's server, in this process. And its S3 objects, kept in the state folder."""

from __future__ import annotations

import importlib.util
import logging
import os
from typing import TYPE_CHECKING, Any

from nightspot.emulator.errors import EmulatorError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

NEEDED = ("boto3", "moto", "werkzeug", "flask", "sagemaker_training")
REMEDY = "Install the extra: nightspot[emulator]"
# Of the outside moto reads its settings only; a test's or a user's own credentials shall not get in.
OURS = {"MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "false"}


def refuse_if_missing() -> None:
    """EmulatorError, in one sentence, where a package of the extra is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EmulatorError(f"the emulator needs {', '.join(missing)}, which is not installed here. {REMEDY}")


def application() -> WSGIApplication:
    """moto's dispatcher. It asks nobody outside."""
    os.environ.update(OURS)
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    found: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    return found


def request_handler() -> type[Any]:
    """The handler of connections that keeps S3's metadata as they were spelled. It writes no line for each request."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    class Quiet(MotoRequestHandler):  # type: ignore[misc]  # moto is untyped
        def log_request(self, *_: Any) -> None:
            """Nothing."""

        def log(self, *_: Any) -> None:
            """Nothing: what goes wrong is in the answers."""

    return Quiet
