"""Rules of a bucket that delete, freeze or encrypt checkpoints behind everybody's back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Iterator, Mapping

from nightspot.backends.aws.asked import Place
from nightspot.backends.aws.look import fine, on_this_machine, unchecked
from nightspot.backends.aws.trouble import ERRORS, code_of, reason
from nightspot.model.job import Job
from nightspot.night.ports import Finding

DAY_S = 86400.0
NO_RULES = "NoSuchLifecycleConfiguration"
NOT_ENCRYPTED = "ServerSideEncryptionConfigurationNotFoundError"
# What lies there must be thawed before it can be read: a resume would find nothing.
FROZEN = {"GLACIER", "DEEP_ARCHIVE"}


def lifecycle(client: Any, place: Place, job: Job) -> Iterator[Finding]:
    """Whether checkpoints outlive the night, and torn uploads do not."""
    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=place.bucket).get("Rules", [])
    except ERRORS as error:
        if code_of(error) != NO_RULES:
            yield unchecked(f"the lifecycle rules of {place.bucket} cannot be seen: {reason(error)}")
            return
        rules = []
    ours = [rule for rule in rules if _applies(rule, place)]
    yield from _expiry(ours, place, job)
    yield fine(_FREE.format(place)) if on_this_machine(client) else _torn_uploads(ours, place)


def _applies(rule: Mapping[str, Any], place: Place) -> bool:
    """Whether it may meet an object under that prefix. Checkpoints carry no tags."""
    both = rule.get("Filter", {})
    both = {**both, **both.get("And", {})}
    prefix = str(both.get("Prefix", rule.get("Prefix", "")) or "")
    meets = prefix.startswith(place.folder) or place.folder.startswith(prefix)
    return rule.get("Status") == "Enabled" and meets and not both.get("Tag") and not both.get("Tags")


def _expiry(rules: list[Mapping[str, Any]], place: Place, job: Job) -> Iterator[Finding]:
    needed_s = job.work.total_s + job.tail_s + job.extend_s
    soon = [rule for rule in rules if _takes_away(rule, needed_s)]
    for rule in soon:
        name = rule.get("ID") or "without a name"
        yield Finding(
            f"the lifecycle rule {name!r} of {place.bucket} takes checkpoints away before the work is done",
            f"Keep what lies under {place} for a week, and warm.",
            fatal=True,
        )
    if not soon:
        yield fine(f"no lifecycle rule takes away what is under {place} before the work is done")


def _takes_away(rule: Mapping[str, Any], needed_s: float) -> bool:
    expiry = rule.get("Expiration", {})
    frozen = [one for one in rule.get("Transitions", ()) if one.get("StorageClass") in FROZEN]
    return any(_within(when, needed_s) for when in [expiry, *frozen] if when)


def _within(when: Mapping[str, Any], needed_s: float) -> bool:
    """Days count from an object's writing, to the next midnight in UTC: never too early. A date takes all that is there then."""
    if "Days" in when:
        return float(when["Days"]) * DAY_S < needed_s
    date = when.get("Date")
    return date is not None and date <= datetime.now(timezone.utc) + timedelta(seconds=max(needed_s, DAY_S))


_FREE = "torn uploads to {} cost nothing: the bucket is on this machine"


def _torn_uploads(rules: list[Mapping[str, Any]], place: Place) -> Finding:
    if any(rule.get("AbortIncompleteMultipartUpload") for rule in rules):
        return fine(f"torn uploads to {place} are cleared away by a lifecycle rule")
    return Finding(
        f"torn uploads to {place} stay for ever, are in no listing, and cost money: an interruption leaves some",
        "Add a lifecycle rule to the bucket with AbortIncompleteMultipartUpload after 7 days.",
    )


def encryption(client: Any, place: Place) -> Finding:
    """Said, because a key of one's own is one more thing that the role must be allowed to use."""
    try:
        answer = client.get_bucket_encryption(Bucket=place.bucket)
        rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    except ERRORS as error:
        if code_of(error) == NOT_ENCRYPTED:
            return fine(f"the bucket {place.bucket} is encrypted with S3's own keys, as all are")
        return unchecked(f"the encryption of {place.bucket} cannot be seen: {reason(error)}")
    by_default = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    keys = [
        str(rule.get("KMSMasterKeyID") or "aws/s3") for rule in by_default if "kms" in str(rule.get("SSEAlgorithm"))
    ]
    if not keys:
        return fine(f"the bucket {place.bucket} is encrypted with S3's own keys")
    return unchecked(
        f"the bucket {place.bucket} is encrypted with the KMS key {keys[0]}: whether it may be used cannot be seen",
        "The role, and these credentials, need kms:GenerateDataKey and kms:Decrypt on it.",
    )
