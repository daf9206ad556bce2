"""A server that answers boto3 as it is told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator

import pytest

from tests.backends.emulated import CREDENTIALS

GOOD = (200, {"TrainingJobArn": "arn:aws:sagemaker:us-east-1:1:training-job/a"})


def wrong(code: str, status: int = 400, message: str = "") -> tuple[int, dict[str, str]]:
    return status, {"__type": code, "message": message}


@dataclass
class Script:
    """What the server answers, one after another; the last again and again: status, body, headers. None: it closes the connection."""

    url: str = ""
    answers: list[Any] = field(default_factory=lambda: [GOOD])
    asked: list[dict[str, str]] = field(default_factory=list)

    def next(self, headers: dict[str, str]) -> Any:
        self.asked.append(headers)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Such a server, and boto3 led there."""
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = told.next(dict(self.headers))
            if answer is None:
                self.connection.close()
                return
            status, body, *headers = answer
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in dict(*headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        do_GET = do_HEAD = do_POST  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": told.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    yield told
    server.shutdown()
    thread.join()
    server.server_close()
