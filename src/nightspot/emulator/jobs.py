"""The operations on training jobs and their tags. Each takes a checked request and gives the answer; ApiError says what is wrong."""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from nightspot.emulator.answers import description, summary
from nightspot.emulator.errors import ApiError, invalid
from nightspot.emulator.life import Life, World
from nightspot.emulator.pages import Page, page
from nightspot.emulator.record import JobRecord
from nightspot.emulator.rules import instance_types, market_of, refuse_bad, refuse_bad_tags
from nightspot.emulator.settings import ACCOUNT
from nightspot.model.capacity import Market

Answer = dict[str, Any]
Asked = Mapping[str, Any]
ARN = re.compile(rf"arn:aws[a-z-]*:sagemaker:([a-z0-9-]+):{ACCOUNT}:training-job/([A-Za-z0-9-]+)")
MOST_TAGS = 50
NOT_FOUND = "Requested resource not found."
JOIN_REAL_S = 30.0
LATE = {"Starting", "Pending"}


class Jobs:
    """All jobs of all regions. Any thread may call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lives: dict[tuple[str, str], Life] = {}
        self._closing = False

    def resume(self, alive_utc: float) -> None:
        """Go on with what the state folder has. What ran when the emulator was last alive, at `alive_utc`, has lost its instance."""
        for record in self._world.book.jobs():
            life = self._lives[record.region, record.name] = Life(record, self._world)
            if not record.ended:
                self._lost(record, alive_utc)
                life.start()

    def _lost(self, record: JobRecord, alive_utc: float) -> None:
        now_utc = self._world.clock.now_utc()
        record.let_go(min(alive_utc, now_utc))
        if record.stopped_by is None and record.secondary not in (*LATE, "Interrupted", "Restarting"):
            record.enter("Interrupted", "Training job interrupted", now_utc)
        self._world.book.save(record)

    def close(self) -> None:
        """Every instance is dead when this returns, and no job begins any more."""
        with self._world.lock:
            self._closing = True
            lives = list(self._lives.values())
        for life in lives:
            life.close()
        for life in lives:
            if life.ident is not None:
                life.join(JOIN_REAL_S)

    def busy(self) -> bool:
        """Whether a job is in progress."""
        with self._world.lock:
            return any(not life.record.ended for life in self._lives.values())

    # The operations, by their names in the API

    def create_training_job(self, region: str, asked: Asked) -> Answer:
        """Refused names, rules, quotas; else the job lives."""
        refuse_bad(asked)
        name = asked["TrainingJobName"]
        with self._world.lock:
            if self._closing:
                raise ApiError("ServiceUnavailable", "nightspot's emulator is about to end", 503)
            if (region, name) in self._lives:
                raise ApiError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a training job with this "
                    f"name already exists ({self._lives[region, name].record.arn})",
                )
            self._refuse_beyond_quota(region, asked)
            record = self._recorded(region, asked)
            life = self._lives[region, name] = Life(record, self._world)
            life.start()
        return {"TrainingJobArn": record.arn}

    def _recorded(self, region: str, asked: Asked) -> JobRecord:
        now_utc = self._world.clock.now_utc()
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", ())}
        request = {key: value for key, value in asked.items() if key != "Tags"}
        record = JobRecord(region, asked["TrainingJobName"], request, now_utc, now_utc)
        record.enter("Starting", "Starting the training job", now_utc)
        record.waited_since_utc = now_utc
        self._world.book.save(record)
        self._world.book.tag(record.arn, tags)
        return record

    def _refuse_beyond_quota(self, region: str, asked: Asked) -> None:
        market = market_of(asked)
        for instance_type in instance_types(asked):
            limit = self._world.settings.quota(instance_type, market)
            used = self.used(region, instance_type, market)
            if used + 1 > limit:
                raise ApiError(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{quota_name(instance_type, market)}' is {limit} Instances, with "
                    f"current utilization of {used} Instances and a request delta of 1 Instances. Please use AWS "
                    "Service Quotas to request an increase for this quota.",
                )

    def used(self, region: str, instance_type: str, market: Market) -> int:
        """Jobs in progress that hold or wait for that type; one with preferences counts for each until it holds one."""
        with self._world.lock:
            records = [life.record for life in self._lives.values() if life.record.region == region]
            return sum(
                not record.ended and market_of(record.request) is market and instance_type in _wanted(record)
                for record in records
            )

    def describe_training_job(self, region: str, asked: Asked) -> Answer:
        """Everything about one."""
        with self._world.lock:
            return description(self._life(region, asked["TrainingJobName"]).record, self._world.settings)

    def stop_training_job(self, region: str, asked: Asked) -> Answer:
        """It is Stopping from now on; refused where it is over."""
        life = self._life(region, asked["TrainingJobName"])
        with self._world.lock:
            if life.record.ended:
                raise invalid(f"The request was rejected because the training job is in status {life.record.status}.")
            life.stop()
        return {}

    def delete_training_job(self, region: str, asked: Asked) -> Answer:
        """Only of one that is over: its name is free then."""
        with self._world.lock:
            record = self._life(region, asked["TrainingJobName"]).record
            if not record.ended:
                raise ApiError("ResourceInUse", f"The training job is in status {record.status} and cannot be deleted.")
            del self._lives[region, record.name]
            self._world.book.forget(record)
        return {}

    def list_training_jobs(self, region: str, asked: Asked) -> Answer:
        """Filtered, sorted, in pages."""
        with self._world.lock:
            lines = [summary(life.record) for (where, _), life in self._lives.items() if where == region]
        found = [line for line in lines if _passes(line, asked)]
        key = {"Name": "TrainingJobName", "Status": "TrainingJobStatus"}.get(asked.get("SortBy", ""), "CreationTime")
        shown: Page[Answer] = page(
            found,
            lambda line: (line[key], line["TrainingJobName"]),
            asked.get("MaxResults", 10),
            asked.get("NextToken"),
            descending=asked.get("SortOrder") == "Descending",
        )
        return {"TrainingJobSummaries": shown.items, "NextToken": shown.next_token}

    def add_tags(self, region: str, asked: Asked) -> Answer:
        """Add or overwrite; the answer has all of them."""
        refuse_bad_tags(asked["Tags"])
        new = {tag["Key"]: tag["Value"] for tag in asked["Tags"]}
        with self._world.lock:
            arn = self._tagged(region, asked)
            if len({*self._world.book.tags(arn), *new}) > MOST_TAGS:
                raise ApiError("ResourceLimitExceeded", f"A resource can have at most {MOST_TAGS} tags")
            self._world.book.tag(arn, new)
        return self.list_tags(region, asked)

    def list_tags(self, region: str, asked: Asked) -> Answer:
        """In the order of their keys."""
        tags = self._world.book.tags(self._tagged(region, asked))
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def delete_tags(self, region: str, asked: Asked) -> Answer:
        """Those that are there."""
        self._world.book.untag(self._tagged(region, asked), asked["TagKeys"])
        return {}

    def _tagged(self, region: str, asked: Asked) -> str:
        arn: str = asked["ResourceArn"]
        match = ARN.fullmatch(arn)
        if match is None or match[1] != region:
            raise invalid(f"nightspot's emulator keeps tags of training jobs of this region only, not of {arn}")
        self._life(region, match[2], missing=ApiError("ResourceNotFound", f"{arn} does not exist"))
        return arn

    def _life(self, region: str, name: str, missing: ApiError | None = None) -> Life:
        with self._world.lock:
            life = self._lives.get((region, name))
        if life is None:
            # The model lists ResourceNotFound, and AWS answers this: seen by many, and kept.
            raise missing or invalid(NOT_FOUND)
        return life


def quota_name(instance_type: str, market: Market) -> str:
    """As Service Quotas calls it."""
    return f"{instance_type} for {'spot ' if market is Market.SPOT else ''}training job usage"


def _wanted(record: JobRecord) -> Iterable[str]:
    if record.selected_type is not None:
        return (record.selected_type,)
    return instance_types(record.request)


def _passes(line: Answer, asked: Asked) -> bool:
    for field in ("CreationTime", "LastModifiedTime"):
        if not asked.get(f"{field}After", -1.0) < line[field] < asked.get(f"{field}Before", float("inf")):
            return False
    if asked.get("StatusEquals", line["TrainingJobStatus"]) != line["TrainingJobStatus"]:
        return False
    unknown = "WarmPoolStatusEquals" in asked or "TrainingPlanArnEquals" in asked
    return not unknown and asked.get("NameContains", "") in line["TrainingJobName"]
