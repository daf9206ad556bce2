"""Upload throughput of the store against plain boto3, boto3 tuned, and boto3 on the AWS CRT where it is installed; and restores.

    python benchmarks/uploads.py [--megabytes 512] [--rounds 5]

One server for all, in a process of its own: it answers as S3 does, keeps bodies in memory, and checks the checksums that it is sent.
The ways take turns within each round; medians, and ratios to boto3's upload_file. Ours reads, hashes and sends every file, asks for
each of them once more, and writes the manifest last; the others only send. Files are in the page cache. Speeds are for reading.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import importlib.util
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
from boto3.s3.transfer import TransferConfig

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.download import Fetcher
from nightspot.checkpoint.manifest import MANIFEST, File, Head, Manifest
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.store_probe import Abilities, probe
from nightspot.checkpoint.upload import Sender, opened

MB = 1 << 20
FILE_BYTES = 128 * MB
STAMP = "Tue, 24 Nov 2026 12:00:00 GMT"
HEAD = Head(units_done=1.0, attempt=1, world_size=1, fingerprint=None, versions={})


class Objects:
    """What the server has: bodies, the metadata of each, parts of uploads."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}

    def put(self, key: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """A whole object."""
        told = headers.get("x-amz-checksum-crc32")
        if told and told != base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode():
            return 400, {}, b"<Error><Code>BadDigest</Code></Error>"
        if "if-none-match" in headers and key in self.bodies:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        self.bodies[key] = body
        self.metadata[key] = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        return 200, {"ETag": '"1"'}, b""

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """As S3 would, as far as these clients ask."""
        url = urlsplit(target)
        key, query = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
        if "uploadId" in query and method == "PUT":
            self.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
            return 200, {"ETag": '"1"'}, b""
        if "uploads" in query and method == "POST":
            upload = f"{len(self.parts)}-{time.monotonic_ns()}"
            self.parts[upload] = {}
            self.metadata[key] = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
            told = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return 200, {}, told.encode()
        if "uploadId" in query and method == "POST":
            parts = self.parts.pop(query["uploadId"][0])
            self.bodies[key] = b"".join(parts[number] for number in sorted(parts))
            return 200, {}, b"<CompleteMultipartUploadResult><ETag>1-1</ETag></CompleteMultipartUploadResult>"
        if method == "PUT":
            return self.put(key, headers, body)
        if method == "DELETE":
            self.bodies.pop(key, None)
            return 204, {}, b""
        if "list-type" in query or "uploads" in query:
            return 200, {}, self.listing(query)
        return self.get(method, key, headers)

    def listing(self, query: dict[str, list[str]]) -> bytes:
        """Only folders are listed: nobody here asks for more."""
        prefix = query.get("prefix", [""])[0]
        below = {key.split("/", 2)[2][len(prefix) :].partition("/")[0] for key in self.bodies if f"/{prefix}" in key}
        names = "".join(f"<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>" for name in below)
        return f"<ListBucketResult>{names if 'delimiter' in query else ''}</ListBucketResult>".encode()

    def get(self, method: str, key: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """An object, or a range of it."""
        if key not in self.bodies:
            return 404, {}, b"" if method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>"
        body, told = self.bodies[key], {"ETag": '"1"', "Last-Modified": STAMP, **self.metadata[key]}
        if method == "HEAD":
            return 200, told | {"Content-Length": str(len(body))}, b""
        if "range" not in headers:
            return 200, told, body
        first, last = (int(number) for number in headers["range"].removeprefix("bytes=").split("-"))
        last = min(last, len(body) - 1)
        return 206, told | {"Content-Range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]


def serve() -> None:
    """Prints its port; ends with its standard input."""
    objects, listening = Objects(), socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listening.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=converse, args=(connection, objects), daemon=True).start()


def converse(connection: socket.socket, objects: Objects) -> None:
    """One connection, many requests."""
    reader = connection.makefile("rb", buffering=1 << 16)
    while line := reader.readline():
        method, target, _ = line.decode().split(" ", 2)
        headers: dict[str, str] = {}
        while (one := reader.readline().decode().strip()) != "":
            name, _, value = one.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = reader.read(int(headers.get("content-length", 0)))
        status, told, answer = objects.answer(method, target, headers, body)
        told = {"Content-Length": str(len(answer))} | told
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        connection.sendall(f"HTTP/1.1 {status} OK\r\n{lines}\r\n".encode() + b"")
        if answer:
            connection.sendall(answer)


def checkpoint(folder: Path, megabytes: int) -> Manifest:
    """A committed checkpoint of files of 128 MB."""
    name, algorithm, files = "step-000000001", _hashing.preferred(), []
    (folder / name).mkdir()
    for number in range(-(-megabytes * MB // FILE_BYTES)):
        content = random.Random(number).randbytes(min(FILE_BYTES, megabytes * MB - number * FILE_BYTES))
        digest = _hashing.new(algorithm)
        digest.update(content)
        (folder / name / f"data-0-{number:03d}.bin").write_bytes(content)
        files.append(File(f"data-0-{number:03d}.bin", len(content), digest.hexdigest()))
    found = Manifest(name, HEAD, algorithm, tuple(files))
    (folder / name / MANIFEST).write_bytes(found.to_bytes())
    return found


def by_boto3(s3: Any, folder: Path, made: Manifest, config: TransferConfig, round_: str) -> None:
    """All files, by upload_file."""
    for file in made.files:
        s3.upload_file(str(folder / made.name / file.name), "bkt", f"{round_}/{file.name}", Config=config)


def crt_manager() -> Any:
    """What boto3 uses where awscrt is installed; made by hand, for boto3 would speak TLS to a server that has none."""
    crt, session = importlib.import_module("s3transfer.crt"), importlib.import_module("botocore.session").get_session()
    provider = importlib.import_module("awscrt.auth").AwsCredentialsProvider.new_static("a", "a")
    settings = {"region_name": "us-east-1", "endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    client = crt.create_s3_crt_client("us-east-1", crt_credentials_provider=provider, use_ssl=False)
    return crt.CRTTransferManager(client, crt.BotocoreCRTRequestSerializer(session, settings))


def by_crt(manager: Any, folder: Path, made: Manifest, round_: str) -> None:
    """All files at once: it shares its connections among them."""
    names = [file.name for file in made.files]
    sent = [manager.upload(str(folder / made.name / name), "bkt", f"{round_}/{name}") for name in names]
    for one in sent:
        one.result()


def ours(folder: Path, made: Manifest, abilities: Abilities, uri: str) -> None:
    """The store's way."""
    with opened(folder, made.name) as source:
        Sender(Bucket(uri), abilities, Patience()).send(source)


def timed(what: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of processor time in all threads of this process."""
    began_s, busy_s = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - began_s, time.process_time() - busy_s


def ways(s3: Any, folder: Path, made: Manifest, abilities: Abilities) -> dict[str, Callable[[int], object]]:
    """Name -> one upload, given the round."""
    tuned = TransferConfig(multipart_chunksize=16 * MB, max_concurrency=16, multipart_threshold=16 * MB)
    found: dict[str, Callable[[int], object]] = {
        "nightspot": lambda number: ours(folder, made, abilities, f"s3://bkt/ours{number}"),
        "boto3 upload_file": lambda number: by_boto3(s3, folder, made, TransferConfig(), f"plain{number}"),
        "boto3, tuned": lambda number: by_boto3(s3, folder, made, tuned, f"tuned{number}"),
    }
    if importlib.util.find_spec("awscrt"):
        manager = crt_manager()
        found["boto3's AWS CRT"] = lambda number: by_crt(manager, folder, made, f"crt{number}")
    return found


def main() -> None:
    """Measure; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    words = [sys.executable, __file__, "--serve"]
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
        tempfile.TemporaryDirectory() as at,
    ):
        assert server.stdout is not None
        os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{int(server.stdout.readline())}"
        measure(Path(at), options.megabytes, options.rounds)
        server.kill()


def measure(folder: Path, megabytes: int, rounds: int) -> None:
    """Rounds of all ways, and of restores."""
    made, s3 = checkpoint(folder, megabytes), boto3.client("s3")
    ask: Patience = Patience()
    abilities = replace(probe(Bucket("s3://bkt/probe"), ask), etag_is_md5=False)
    took: dict[str, list[tuple[float, float]]] = {}
    tried = ways(s3, folder, made, abilities)
    for number in range(rounds + 1):  # the first warms up
        for name, way in tried.items():
            took.setdefault(name, []).append(timed(partial(way, number)))
        into = folder / f"restored{number}"
        into.mkdir()
        fetcher = Fetcher(Bucket(f"s3://bkt/ours{number}"), into, ask, print)
        took.setdefault("nightspot, restore", []).append(timed(partial(fetcher.newest, 0)))
    print(
        f"{megabytes} MB in {len(made.files)} files, {rounds} rounds, checksum {abilities.checksum}, {os.cpu_count()} cores"
    )
    base_s, base_cpu_s = medians(took["boto3 upload_file"])
    print(f"{'':<20} {'median':>9} {'':>10} {'x boto3':>8} {'CPU s/GB':>9} {'x boto3':>8}")
    for name, rows in took.items():
        median_s, cpu_s = medians(rows)
        speed, cpu = f"{megabytes / median_s:5.0f} MB/s", cpu_s * 1024 / megabytes
        print(f"{name:<20} {median_s:7.3f} s {speed} {base_s / median_s:8.2f} {cpu:9.2f} {cpu_s / base_cpu_s:8.2f}")


def medians(rows: list[tuple[float, float]]) -> tuple[float, float]:
    """Of all rounds but the first."""
    return statistics.median(row[0] for row in rows[1:]), statistics.median(row[1] for row in rows[1:])


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
