"""One port, many services: the credential scope says which. SageMaker and Service Quotas are ours, the rest is moto's."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import traceback
import uuid
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping

from nightspot.emulator.dice import Dice, Fate
from nightspot.emulator.errors import ApiError, DroppedConnection
from nightspot.emulator.gate import Caller, admit
from nightspot.emulator.shapes import checked, fitting, service_model
from nightspot.process.markettime import steady_s

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MODELS = {"sagemaker": "sagemaker", "servicequotas": "service-quotas"}
# Of moto only what SDK, doctor and training call. Others of its services would run code, or lead elsewhere.
MOTO_SERVICES = frozenset({"s3", "sts", "iam", "logs", "ecr", "monitoring", "kms", "ec2"})
MOTO_OWN_PATHS = ("/moto-api", "/latest/", "/favicon.ico")
UNKNOWN = "UnknownOperationException"
SLOW_REAL_S = 3.0
STATUS_TEXT = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    411: "Length Required",
    413: "Payload Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
Operation = Callable[[str, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body."""

    status: int
    body: Mapping[str, Any]


class Application:
    """The WSGI application. `port` is set before it serves; `open`, where it shall answer others than ourselves, by `own_key`.

    `used_real_s` is when (by the steady clock) it was last asked anything, `written` whether S3 was changed since that was last unset.
    """

    def __init__(self, services: Mapping[str, object], dice: Dice, others: WSGIApplication) -> None:
        self._services, self._dice, self._others = services, dice, others
        self.own_key = f"OWN{uuid.uuid4().hex}"
        self.port, self.open, self.written = 0, False, False
        self.used_real_s = steady_s()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. DroppedConnection where it shall not be answered."""
        try:
            caller = admit(environ, self.port)
            self._note(caller, environ)
            if caller.service not in self._services:
                return self._forward(caller, environ, start_response)
            answer = self._faulty(caller, environ)
        except ApiError as error:
            # Clients that speak JSON always name their operation; the others read XML.
            if "HTTP_X_AMZ_TARGET" not in environ:
                return _send_xml(error, environ, start_response)
            answer = _error(error)
        return _send(answer, start_response)

    def _note(self, caller: Caller, environ: WSGIEnvironment) -> None:
        if caller.access_key == self.own_key:
            return
        if not self.open:
            raise ApiError("ServiceUnavailable", "nightspot's emulator is starting, or about to end", 503)
        self.used_real_s = steady_s()
        if caller.service == "s3" and environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            self.written = True

    def _forward(self, caller: Caller, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if caller.service not in MOTO_SERVICES or path.startswith(MOTO_OWN_PATHS):
            raise ApiError(UNKNOWN, f"nightspot's emulator has no {caller.service} {path[:80]}", 404)
        try:
            return self._others(environ, start_response)
        except NotImplementedError:
            raise ApiError(UNKNOWN, f"nightspot's emulator does not answer this call of {caller.service}") from None
        except Exception as error:
            # Not our code: a traceback of it helps nobody here.
            print(f"a fault of moto's in {caller.service}: {error!r:.300}", file=sys.stderr)  # noqa: T201 - its log
            raise _internal() from error

    def _faulty(self, caller: Caller, environ: WSGIEnvironment) -> Answer:
        """With the faults that were asked for."""
        fate = self._dice.fate()
        if fate is Fate.THROTTLED:
            raise ApiError("ThrottlingException", "Rate exceeded")
        if fate is Fate.INTERNAL_BEFORE:
            raise _internal()
        answer = self._answer(caller, environ)
        if fate is Fate.INTERNAL_AFTER:
            raise _internal()
        if fate is Fate.LOST:
            _drop(environ)
        if fate is Fate.SLOW:
            time.sleep(SLOW_REAL_S)
        return answer

    def _answer(self, caller: Caller, environ: WSGIEnvironment) -> Answer:
        try:
            shape_in, shape_out, operation = self._operation(caller, environ)
            asked = checked(shape_in, _body(environ)) if shape_in is not None else {}
            found = operation(caller.region, asked)
            return Answer(200, fitting(shape_out, found) if shape_out is not None else {})
        except ApiError as error:
            return _error(error)
        except Exception:
            print(f"a fault of the emulator itself in {caller.service}", file=sys.stderr)  # noqa: T201 - its log
            traceback.print_exc(file=sys.stderr)
            return _error(_internal())

    def _operation(self, caller: Caller, environ: WSGIEnvironment) -> tuple[Any, Any, Operation]:
        model = service_model(MODELS[caller.service])
        prefix, _, name = str(environ.get("HTTP_X_AMZ_TARGET", "")).partition(".")
        if prefix != model.metadata["targetPrefix"] or name not in model.operation_names:
            raise ApiError(UNKNOWN, f"there is no operation {prefix[:80]}.{name[:80]}")
        operation = getattr(self._services[caller.service], _snake(name), None)
        if operation is None:
            raise ApiError(UNKNOWN, f"nightspot's emulator does not know {name}")
        shapes = model.operation_model(name)
        return shapes.input_shape, shapes.output_shape, operation


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _body(environ: WSGIEnvironment) -> Any:
    """The gate has bounded its length."""
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        return json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise ApiError("SerializationException", "the body is no JSON") from None


def _internal() -> ApiError:
    return ApiError("InternalFailure", "The request processing has failed because of an unknown error.", 500)


def _error(error: ApiError) -> Answer:
    return Answer(error.status, {"__type": error.code, "message": error.message, "Message": error.message})


def _send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    return _respond(answer.status, "application/x-amz-json-1.1", json.dumps(answer.body).encode(), start_response)


def _send_xml(error: ApiError, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    text = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
    if re.search("/(sts|iam|ec2|monitoring)/aws4_request", str(environ.get("HTTP_AUTHORIZATION", ""))):
        text = f"<ErrorResponse>{text}</ErrorResponse>"
    return _respond(error.status, "application/xml", text.encode(), start_response)


def _respond(status: int, kind: str, body: bytes, start_response: StartResponse) -> list[bytes]:
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-RequestId", str(uuid.uuid4()))]
    start_response(f"{status} {STATUS_TEXT.get(status, 'Error')}", headers)
    return [body]


def _drop(environ: WSGIEnvironment) -> None:
    connection: socket.socket | None = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    raise DroppedConnection("the answer is lost on purpose")
