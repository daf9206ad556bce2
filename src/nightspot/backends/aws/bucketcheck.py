"""Buckets: where checkpoints and models go, where data and source come from."""

from __future__ import annotations

import secrets
from typing import Any, Iterator

from nightspot.backends.aws.asked import Asked, Place
from nightspot.backends.aws.bundle import why_not
from nightspot.backends.aws.lifecycle import encryption, lifecycle
from nightspot.backends.aws.look import Case, fine, on_this_machine, region_of, unchecked
from nightspot.backends.aws.trouble import DENIED, ERRORS, code_of, is_missing, reason
from nightspot.jobfile.tomltext import show
from nightspot.night.ports import Finding

# S3 calls its oldest region by no name at all, and Ireland by an old one.
OLD_NAMES = {"": "us-east-1", "EU": "eu-west-1"}
POLICY = "`nightspot iam` prints the policy that the controller needs: attach it."


def buckets(case: Case) -> Iterator[Finding]:
    """Where checkpoints and the model go: there, in the region, readable, writable, and not tidied away too soon."""
    for place, asked in _places(case):
        client = case.clients("s3", asked.region)
        there = _there(client, place, asked, region_of(case.clients("sagemaker", asked.region)))
        yield from there
        if any(finding.fatal for finding in there):
            continue
        yield _readable(client, place)
        if place == asked.checkpoints:
            yield _writable(client, place, needed=asked.wrapper)
            yield from lifecycle(client, place, case.job)
        yield encryption(client, place)
    for asked in case.asked:
        if asked.checkpoints is None:
            given = asked.pool.options.get("checkpoints")
            stood = f"{given!r} is no s3:// address" if given else "no place for checkpoints is set"
            yield Finding(f"{stood} (pool {asked.pool.id})", 'Write checkpoints = "s3://BUCKET/PREFIX".', fatal=True)


def _places(case: Case) -> list[tuple[Place, Asked]]:
    """Each place once, checkpoints first: losing those costs a night."""
    found: dict[Place, Asked] = {}
    for asked in case.asked:
        for place in (asked.checkpoints, asked.output):
            if place is not None:
                found.setdefault(place, asked)
    return sorted(found.items(), key=lambda item: item[0] != item[1].checkpoints)


def _there(client: Any, place: Place, asked: Asked, region: str) -> list[Finding]:
    try:
        location = client.get_bucket_location(Bucket=place.bucket).get("LocationConstraint") or ""
    except ERRORS as error:
        if is_missing(error):
            return [Finding(f"there is no bucket {place.bucket}", "Make it, or correct its name.", fatal=True)]
        return [unchecked(f"the region of the bucket {place.bucket} cannot be seen: {reason(error)}")]
    lies = OLD_NAMES.get(location, location)
    if lies != region:
        return [
            Finding(
                f"the bucket {place.bucket} lies in {lies}, and pool {asked.pool.id} trains in {region}",
                "Use a bucket in the region of the training: SageMaker refuses others.",
                fatal=True,
            )
        ]
    return [fine(f"the bucket {place.bucket} lies in {lies}, as the training does")]


def _readable(client: Any, place: Place) -> Finding:
    """Progress, and whether there is a model in the morning, are read here."""
    try:
        client.list_objects_v2(Bucket=place.bucket, Prefix=place.folder, MaxKeys=1)
    except ERRORS as error:
        if code_of(error) in DENIED:
            return Finding(
                f"these credentials may not list {place}: no progress and no model would be seen", POLICY, fatal=True
            )
        return unchecked(f"whether {place} can be read cannot be seen: {reason(error)}")
    return fine(f"{place} can be read")


def _writable(client: Any, place: Place, *, needed: bool) -> Finding:
    """By a small object that is deleted at once. `needed`: our own wheel and words travel this way."""
    key = f"{place.folder}.nightspot-doctor-{secrets.token_hex(4)}"
    try:
        client.put_object(Bucket=place.bucket, Key=key, Body=b"written by `nightspot doctor`, to be deleted at once\n")
    except ERRORS as error:
        if code_of(error) in DENIED:
            return Finding(f"these credentials may not write under {place}", POLICY, fatal=needed)
        return unchecked(f"whether {place} can be written to cannot be seen: {reason(error)}")
    try:
        client.delete_object(Bucket=place.bucket, Key=key)
    except ERRORS as error:
        return Finding(
            f"{place} can be written to, and nothing deleted: {reason(error)}",
            f"Delete s3://{place.bucket}/{key} by hand.",
        )
    return fine(f"{place} can be written to")


def channels(case: Case) -> Iterator[Finding]:
    """Whether the data is there. SageMaker looks only once an instance is up and paid."""
    seen = set()
    for asked in case.asked:
        client = case.clients("s3", asked.region)
        for channel in asked.channels:
            if channel in seen:
                continue
            seen.add(channel)
            what = f"channel {channel.name!r}"
            if channel.place is None:
                yield unchecked(f"{what} does not lie in a bucket: it was not looked at")
            elif channel.whole_key:
                yield _object(client, channel.place, f"the manifest of {what}")
            else:
                yield _prefix(client, channel.place, what, _remedy(client, channel.name))


def _remedy(client: Any, channel: str) -> str:
    """What to do for a channel without data."""
    if not on_this_machine(client):
        return "Put the data there, or correct InputDataConfig."
    table = show({channel: f"data/{channel}"})
    return (
        f"This is an emulator, which has only what it is given. A little is enough: name a folder of this machine under "
        f"[emulator] in the job file, data = {table}, for `nightspot run --emulate`; or copy it to that address."
    )


def _prefix(client: Any, place: Place, what: str, remedy: str) -> Finding:
    try:
        listed = client.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
    except ERRORS as error:
        if is_missing(error):
            return Finding(
                f"{what}: there is no bucket {place.bucket}", "Correct InputDataConfig in the template.", fatal=True
            )
        return unchecked(f"{what}: {place} cannot be looked at: {reason(error)}")
    if not listed.get("Contents"):
        return Finding(f"{what}: nothing is under {place}", remedy, fatal=True)
    return fine(f"{what}: there is data under {place}")


def source(case: Case) -> Iterator[Finding]:
    """Whether the user's source is there, and our wrapper can travel with it."""
    for asked in case.asked:
        why = why_not(asked.request) if asked.wrapper else None
        if why is not None:
            yield Finding(
                f"our wrapper cannot travel with pool {asked.pool.id}", f"{why[:1].upper()}{why[1:]}", fatal=True
            )
        if asked.source is not None:
            yield _object(case.clients("s3", asked.region), asked.source, "the source")


def _object(client: Any, place: Place, what: str) -> Finding:
    try:
        client.head_object(Bucket=place.bucket, Key=place.key)
    except ERRORS as error:
        if is_missing(error):
            return Finding(f"{what}: there is no {place}", "Upload it again, or correct the template.", fatal=True)
        return unchecked(f"{what}: {place} cannot be looked at: {reason(error)}")
    return fine(f"{what}: {place} is there")
