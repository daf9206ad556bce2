"""What a training job printed, from CloudWatch Logs into a file, as far as it has got there.

Beside the file stands how far each stream was read: what was fetched is not fetched again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from nightspot.backends.aws.calls import Aws, Rejected, Trouble
from nightspot.process.files import read_json, write_soon

GROUP = "/aws/sagemaker/TrainingJobs"
# One call fetches at most so much; the next goes on.
PAGES_MAX = 200


def fetch(aws: Aws, region: str, job_name: str, to: Path) -> None:
    """Append what is new to that file, made if need be. Raises Unsure or Rejected as `Aws.call` does, OSError for the file."""
    places = to.with_suffix(".streams.json")
    read_so_far = read_json(places)
    tokens: dict[str, str] = dict(read_so_far) if isinstance(read_so_far, dict) else {}
    to.parent.mkdir(parents=True, exist_ok=True)
    for stream in _streams(aws, region, job_name):
        for text, token in _pages(aws, region, stream, tokens.get(stream)):
            with to.open("a", encoding="utf-8") as file:
                file.write(text)
            tokens[stream] = token
            write_soon(places, tokens)


def _streams(aws: Aws, region: str, job_name: str) -> list[str]:
    """One for each machine and start, the oldest first; none before it has printed anything."""
    try:
        found = aws.call(
            "logs", region, "describe_log_streams", logGroupName=GROUP, logStreamNamePrefix=f"{job_name}/", limit=50
        )
    except Rejected as error:
        if error.trouble is Trouble.NOT_FOUND:
            return []
        raise
    streams = sorted(found.get("logStreams", ()), key=lambda one: (one.get("creationTime", 0), one["logStreamName"]))
    return [str(one["logStreamName"]) for one in streams]


def _pages(aws: Aws, region: str, stream: str, token: str | None) -> Iterator[tuple[str, str]]:
    """(text, where to go on) until nothing is new. CloudWatch says so by the token that it was given."""
    for _ in range(PAGES_MAX):
        given = {"nextToken": token} if token is not None else {}
        page = aws.call(
            "logs",
            region,
            "get_log_events",
            logGroupName=GROUP,
            logStreamName=stream,
            startFromHead=True,
            **given,
        )
        text = "".join(f"{one['message']}\n" for one in page.get("events", ()))
        after = str(page["nextForwardToken"])
        if text:
            yield text, after
        if after == token:
            return
        token = after
