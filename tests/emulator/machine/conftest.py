from __future__ import annotations

import logging
import threading
import uuid
from pathlib import Path
from typing import Iterator

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.emulator.machine.stage import Stage


@pytest.fixture(scope="package")
def endpoint_url() -> Iterator[str]:
    """moto's server, as `nightspot emulate` has it beside its own part."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def stage(endpoint_url: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(endpoint_url, tmp_path, f"job-{uuid.uuid4().hex[:12]}")
    try:
        yield made
    finally:
        made.leave()
