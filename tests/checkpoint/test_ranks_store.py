"""Several ranks and one bucket: the first rank uploads what all have written into the shared folder, and fetches it for all."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from nightspot.checkpoint.bucket_look import hash_faults, read
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.manifest import Manifest
from nightspot.checkpoint.store_patience import Patience
from tests.checkpoint.buckets import CREDENTIALS, Fault, Server
from tests.checkpoint.ranks_launcher import Rank, launch
from tests.checkpoint.ranks_training import train

pytest_plugins = ["tests.checkpoint.bucket_fixture"]


def run(folder: Path, server: Server, uri: str, until: int | None = None, **environment: str) -> list[Rank]:
    around = CREDENTIALS | {"AWS_ENDPOINT_URL": server.url, "NIGHTSPOT_CHECKPOINT_STORE": uri, **environment}
    return launch(folder / "said", 2, train, folder, "ddp", until, **around)


def ends(ranks: list[Rank]) -> list[Any]:
    assert [rank.code for rank in ranks] == [0, 0], "\n".join(rank.said for rank in ranks)
    return [(rank.result["end"], rank.result["own"]) for rank in ranks]


def stored(uri: str, name: str) -> Manifest:
    bucket, ask = Bucket(uri), Patience()
    found = read(bucket, name, ask)
    assert hash_faults(bucket, found, ask) == []
    return found


def test_files_of_all_ranks_reach_the_bucket_and_other_machines_go_on_from_there(
    server: Server, tmp_path: Path
) -> None:
    uri = server.fresh()
    undisturbed = ends(run(tmp_path / "undisturbed", server, "none", INTERVAL="1h"))
    died = run(tmp_path / "one", server, uri, BLOW="KILL@4@all", NIGHTSPOT_CHECKPOINT_WAIT="1")
    assert -signal.SIGKILL in {rank.code for rank in died}
    files = {file.name for file in stored(uri, "step-000000003").files}
    ours = {path.name for path in (tmp_path / "one" / "step-000000003").iterdir()} - {"MANIFEST.json"}
    assert files == ours
    assert {name for name in files if name.startswith("rank-")} == {"rank-0.json", "rank-1.json"}
    assert {name.split("-")[1] for name in files if name.startswith("data-")} == {"0", "1"}
    again = run(tmp_path / "two", server, uri, INTERVAL="1h")
    assert [rank.result["restored"] for rank in again] == [["step-000000003", 3.0]] * 2
    assert ends(again) == undisturbed


def test_on_notice_all_ranks_leave_alike_and_with_75_only_if_the_bucket_has_it(server: Server, tmp_path: Path) -> None:
    uri, notice = server.fresh(), tmp_path / "notice.json"
    notice.write_text(json.dumps({"kill_in_s": 3, "reason": "interruption"}))
    server.gate.faults = [Fault("put", "answer", 100_000, "state.json")]
    told = {"BLOW": "TERM@3@1", "INTERVAL": "1h", "NIGHTSPOT_NOTICE": os.fspath(notice)}
    left = run(tmp_path / "one", server, uri, None, **told)
    assert [rank.code for rank in left] == [1, 1], "\n".join(rank.said for rank in left)
    assert "could not be uploaded in time" in left[0].said
    assert not any(key.endswith("MANIFEST.json") for key in server.keys(uri))
