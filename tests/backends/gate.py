"""A gate in front of an emulator: everything passes through it, unless the network is down, an answer gets lost, or a key has expired."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "keep-alive"}
TIMEOUT_S = 30.0


@dataclass
class Gate:
    """`down`: connections break. `loses`: operations whose answers never come back. `expired`: access keys that count no more."""

    target: str
    down: bool = False
    loses: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    passed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or self.command
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
            if gate.down:
                self.close_connection = True
                self.connection.close()
            elif key in gate.expired:
                refusal = json.dumps({"__type": "ExpiredTokenException", "message": "expired"}).encode()
                self._answer(400, {"Content-Type": "application/x-amz-json-1.1"}, refusal)
            else:
                self._forward(operation, body)

        def _forward(self, operation: str, body: bytes) -> None:
            gate.passed.append(operation)
            host = urlsplit(gate.target).netloc
            onwards = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            onwards.request(self.command, self.path, body, {**headers, "Host": host})
            answer = onwards.getresponse()
            raw = answer.read()
            onwards.close()
            if operation in gate.loses:
                self.close_connection = True
                self.connection.close()
            else:
                self._answer(answer.status, dict(answer.getheaders()), raw)

        def _answer(self, status: int, headers: dict[str, str], raw: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in HOP | {"content-length"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(raw))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            return

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _pass  # noqa: N815 - the library's names

    return Handler
