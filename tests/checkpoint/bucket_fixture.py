"""`pytest_plugins = ["tests.checkpoint.bucket_fixture"]`: one bucket for all, credentials for each test."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from nightspot.checkpoint import _boto3
from tests.checkpoint.buckets import CREDENTIALS, Server, serving


@pytest.fixture(scope="session")
def _serving() -> Iterator[Server]:
    with serving() as one:
        yield one


_client = functools.lru_cache(_boto3.client)  # it costs a quarter of a second


@pytest.fixture
def server(_serving: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Whoever makes a client in this test, or in a process of it, finds the bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", _serving.url)
    monkeypatch.setattr(_boto3, "client", _client)
    yield _serving
    _serving.fresh()
