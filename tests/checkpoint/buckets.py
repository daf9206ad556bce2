"""A bucket of this machine (moto's S3, served over HTTP) behind a gate that misbehaves as it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import random
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.manifest import MANIFEST, File, Head, Manifest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
NAME = "bkt"
NUMBERS = itertools.count(1)  # moto's objects are shared by all servers of a process
Start = Callable[..., Any]


@dataclass
class Fault:
    """What happens to the next `times` requests of a kind whose key ends so. `then`: what is done before it happens."""

    kind: str
    what: str
    times: int = 1
    key: str = ""
    code: str = "SlowDown"


@dataclass
class Gate:
    """seen: (kind, key) of all requests. strict: wrong checksums are refused, as S3 does and moto does not.

    conditional: kept, ignored (the header is not looked at), or refused (501). held: requests of that kind wait until it is cleared.
    """

    seen: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    strict: bool = False
    conditional: str = "kept"
    held: str = ""
    release: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, key: str = "") -> int:
        """How many requests of a kind came for keys that end so."""
        return sum(one[0] == kind and one[1].endswith(key) for one in self.seen)

    def takes(self, kind: str, key: str) -> Fault | None:
        """The fault that this request meets."""
        with self.lock:
            self.seen.append((kind, key))
            for fault in self.faults:
                if fault.kind in (kind, "any") and key.endswith(fault.key) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class Gated:
    """The WSGI application."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.moto = gate, DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        kind, key = kind_of(environ), unquote(environ["PATH_INFO"]).removeprefix(f"/{NAME}/")
        fault = self.gate.takes(kind, key)
        if self.gate.held == kind:
            self.gate.reached.set()
            self.gate.release.wait()
        if fault is not None and fault.what in ("answer", "drop"):
            return refuse(environ, start, fault)
        if self.gate.conditional == "ignored":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        elif self.gate.conditional == "refused" and "HTTP_IF_NONE_MATCH" in environ:
            return answer(environ, start, "501 Not Implemented", "NotImplemented")
        if self.gate.strict and wrong(environ):
            return answer(environ, start, "400 Bad Request", "BadDigest")
        given = self.moto(environ, start)
        return tear(environ, given) if fault is not None else given


def kind_of(environ: dict[str, Any]) -> str:
    """What the request asks for."""
    query, method = parse_qs(environ["QUERY_STRING"], keep_blank_values=True), environ["REQUEST_METHOD"]
    if "uploadId" in query:
        return {"PUT": "part", "POST": "complete", "GET": "parts", "DELETE": "abort"}[method]
    if "uploads" in query:
        return "begin" if method == "POST" else "uploads"
    return "list" if "list-type" in query else str(method).lower()


def refuse(environ: dict[str, Any], start: Start, fault: Fault) -> Iterable[bytes]:
    """An answer that says no, or none at all."""
    if fault.what == "drop":
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionError("dropped on purpose")
    status = "403 Forbidden" if fault.code == "AccessDenied" else "503 Slow Down"
    return answer(environ, start, status, fault.code)


def answer(environ: dict[str, Any], start: Start, status: str, code: str) -> Iterable[bytes]:
    """An error as S3 writes it. The body is read first, or the connection could not be used again."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    raw = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(raw)))])
    return [raw]


def tear(environ: dict[str, Any], given: Iterable[bytes]) -> Iterator[bytes]:
    """Half of a body, and then the connection is gone."""
    whole = b"".join(given)
    yield whole[: len(whole) // 2]
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def wrong(environ: dict[str, Any]) -> bool:
    """Whether the body is not what its checksum says."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    crc32 = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    told = environ.get("HTTP_CONTENT_MD5", md5), environ.get("HTTP_X_AMZ_CHECKSUM_CRC32", crc32)
    return told != (md5, crc32)


class _Quiet(MotoRequestHandler):  # type: ignore[misc]  # moto is untyped
    def log(self, *_: Any) -> None:
        """Nothing: faults are on purpose."""

    log_request = log


@dataclass
class Server:
    """`url` for AWS_ENDPOINT_URL; `gate` is to be set before each use."""

    url: str
    app: Gated
    _s3: Any = None

    @property
    def gate(self) -> Gate:
        return self.app.gate

    def fresh(self) -> str:
        """A prefix that nothing lies below, and a gate that lets all pass."""
        self.app.gate.release.set()
        self.app.gate = Gate()
        return f"s3://{NAME}/nights/{next(NUMBERS)}"

    def s3(self) -> Any:
        """A client of its own, for looking and for damage."""
        if self._s3 is None:
            keys = {name.lower(): value for name, value in list(CREDENTIALS.items())[:2]}
            self._s3 = boto3.session.Session(region_name="us-east-1", **keys).client("s3", endpoint_url=self.url)
        return self._s3

    def keys(self, uri: str) -> list[str]:
        """What lies below, without the prefix."""
        prefix = uri.removeprefix(f"s3://{NAME}/") + "/"
        found = self.s3().list_objects_v2(Bucket=NAME, Prefix=prefix).get("Contents", [])
        return sorted(one["Key"].removeprefix(prefix) for one in found)

    def where(self, uri: str, name: str, file: str) -> str:
        """The key of a file of a checkpoint, of which there is only one."""
        [found] = [key for key in self.keys(uri) if key.startswith(f"{name}/") and key.endswith(f"/{file}")]
        return found

    def get(self, uri: str, key: str) -> bytes:
        return bytes(self.s3().get_object(Bucket=NAME, Key=f"{self._prefix(uri)}/{key}")["Body"].read())

    def put(self, uri: str, key: str, body: bytes) -> None:
        self.s3().put_object(Bucket=NAME, Key=f"{self._prefix(uri)}/{key}", Body=body)

    def delete(self, uri: str, key: str) -> None:
        self.s3().delete_object(Bucket=NAME, Key=f"{self._prefix(uri)}/{key}")

    def _prefix(self, uri: str) -> str:
        return uri.removeprefix(f"s3://{NAME}/")


@contextmanager
def serving() -> Iterator[Server]:
    """A server in threads of this process."""
    app = Gated(Gate())
    made = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server = Server(f"http://127.0.0.1:{made.server_port}", app)
    try:
        server.s3().create_bucket(Bucket=NAME)
        yield server
    finally:
        app.gate.release.set()
        made.shutdown()
        made.server_close()


def made(folder: Path, number: int, files: Mapping[str, bytes], **head: Any) -> Manifest:
    """A committed checkpoint of any files."""
    name = f"step-{number:09d}"
    (folder / name).mkdir(parents=True)
    algorithm, listed = _hashing.preferred(), []
    for file, content in files.items():
        (folder / name / file).write_bytes(content)
        digest = _hashing.new(algorithm)
        digest.update(content)
        listed.append(File(file, len(content), digest.hexdigest()))
    usual = Head(units_done=float(number), attempt=1, world_size=1, fingerprint="f1", versions={"python": "3"})
    found = Manifest(name, replace(usual, **head), algorithm, tuple(listed))
    (folder / name / MANIFEST).write_bytes(found.to_bytes())
    return found


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no two seeds have in common."""
    return random.Random(seed).randbytes(size_bytes)
