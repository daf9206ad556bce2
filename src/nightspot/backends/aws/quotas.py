"""How many instances of each type this account may train on at once, on Spot and on on-demand, and how many it uses now.

The two quotas are separate, and often 0 for GPUs on Spot: a raise takes days, so this is the first thing to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from botocore.exceptions import ClientError

from nightspot.backends.aws.asked import Asked
from nightspot.backends.aws.look import Case, fine, region_of, unchecked
from nightspot.backends.aws.trouble import DENIED, ERRORS, code_of, reason
from nightspot.night.ports import Finding

SERVICE_CODE = "sagemaker"
# SageMaker has some thousands of quotas in pages of 100.
PAGES_MAX = 100
# So many trainings of others are looked at, to see what they use.
JOBS_MAX = 100
# A training that is stopping has its instances still.
HOLDING = ("InProgress", "Stopping")


@dataclass(frozen=True, slots=True)
class Need:
    """One quota that a Pool runs into. It is also the key by which use is counted."""

    instance_type: str
    spot: bool

    @property
    def quota_name(self) -> str:
        """As Service Quotas calls it."""
        return f"{self.instance_type} for {'spot ' if self.spot else ''}training job usage"


@dataclass(slots=True)
class Use:
    """Instances that trainings hold now. `unseen`: trainings that may hold some, too."""

    held: dict[Need, int] = field(default_factory=dict)
    unseen: int = 0

    def add(self, training: Mapping[str, Any]) -> None:
        """Count one training, as it is described."""
        resources = training.get("ResourceConfig", {})
        spot = bool(training.get("EnableManagedSpotTraining"))
        groups = resources.get("InstanceGroups") or [resources]
        for group in groups:
            chosen = (
                group.get("InstanceType")
                or training.get("SelectedInstanceType")
                or resources.get("SelectedInstanceType")
            )
            need = Need(str(chosen), spot)
            self.held[need] = self.held.get(need, 0) + int(group.get("InstanceCount") or 1)


def quotas(case: Case) -> Iterator[Finding]:
    """For each Pool: whether its quota is there, and whether it is free now."""
    for region in case.regions:
        yield from _of_region(case, region)


def _of_region(case: Case, region: str) -> Iterator[Finding]:
    asked = case.in_region(region)
    wanted = {need for one in asked for need in _needs(one)}
    try:
        client = case.clients("service-quotas", region)
        limits = _limits(client, {need.quota_name for need in wanted})
    except ERRORS as error:
        yield unchecked(
            f"the quotas of {', '.join(sorted(n.quota_name for n in wanted))} cannot be seen: {reason(error)}", SEE
        )
        return
    where = region_of(client)
    use = _use(case.clients("sagemaker", region)) if any(limits.values()) else Use()
    for one in asked:
        yield from _of_pool(one, where, limits, use)
    if isinstance(use, Use) and use.unseen:
        yield unchecked(
            f"{use.unseen} trainings in {where} may not be looked at: the quotas may be more in use than is seen",
            "Allow sagemaker:DescribeTrainingJob on all trainings, as `nightspot iam --read-only` does.",
        )


SEE = "Look at Service Quotas in the console: each must be at least the instances that one attempt asks for."


def _needs(asked: Asked) -> list[Need]:
    return [Need(name, asked.spot) for name in asked.instance_types]


def _limits(client: Any, names: set[str]) -> dict[str, float]:
    """The account's quotas of those names; AWS's defaults for those the account's list leaves out."""
    found = _listed(client, "list_service_quotas", names)
    left = names - set(found)
    return {**found, **(_listed(client, "list_aws_default_service_quotas", left) if left else {})}


def _listed(client: Any, operation: str, names: set[str]) -> dict[str, float]:
    """Page by page, until all are found."""
    found: dict[str, float] = {}
    token: dict[str, str] = {}
    for _ in range(PAGES_MAX):
        page = getattr(client, operation)(ServiceCode=SERVICE_CODE, MaxResults=100, **token)
        for quota in page.get("Quotas", ()):
            if quota.get("QuotaName") in names:
                found[quota["QuotaName"]] = float(quota["Value"])
        if not page.get("NextToken") or names <= set(found):
            break
        token = {"NextToken": page["NextToken"]}
    return found


def _use(client: Any) -> Use | str:
    """What is held now; where nobody may list it, why."""
    use = Use()
    try:
        for name in _holding(client, use):
            _count(client, name, use)
    except ERRORS as error:
        return reason(error)
    return use


def _holding(client: Any, use: Use) -> Iterator[str]:
    """Names of trainings that hold instances, at most JOBS_MAX; the others are counted as unseen."""
    seen = 0
    for status in HOLDING:
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = client.list_training_jobs(StatusEquals=status, MaxResults=100, **token)
            for summary in page["TrainingJobSummaries"]:
                seen += 1
                use.unseen += seen > JOBS_MAX
                if seen <= JOBS_MAX:
                    yield str(summary["TrainingJobName"])
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}


def _count(client: Any, name: str, use: Use) -> None:
    try:
        use.add(client.describe_training_job(TrainingJobName=name))
    except ClientError as error:
        if code_of(error) not in DENIED:
            raise
        use.unseen += 1


def _of_pool(asked: Asked, region: str, limits: Mapping[str, float], use: Use | str) -> Iterator[Finding]:
    """Where any of several types will do, the lack of one is no more than a warning."""
    needs = _needs(asked)
    if not needs:
        yield unchecked(f"pool {asked.pool.id} names no instance type: its quota cannot be looked up")
    lacking = [need for need in needs if limits.get(need.quota_name, asked.instances) < asked.instances]
    for need in needs:
        yield _of_need(need, asked, region, limits, use, fatal=len(lacking) == len(needs))


def _of_need(
    need: Need, asked: Asked, region: str, limits: Mapping[str, float], use: Use | str, *, fatal: bool
) -> Finding:
    limit = limits.get(need.quota_name)
    if limit is None:
        return unchecked(
            f"{region} has no quota called {need.quota_name!r}: it cannot be told whether pool {asked.pool.id} can start",
            f"Look whether {need.instance_type} is offered for training in {region}.",
        )
    said = f"the quota {need.quota_name!r} in {region} is {limit:g}"
    if limit < asked.instances:
        short = (
            f"{said}, and pool {asked.pool.id} asks for {asked.instances}: it can never start on {need.instance_type}"
        )
        return Finding(short, _raise(need, asked, region), fatal=fatal)
    if isinstance(use, str):
        return unchecked(f"{said}; how much of it is in use cannot be seen: {use}")
    held = use.held.get(need, 0)
    if limit - held < asked.instances:
        remedy = "Wait for the others to end, or stop them; or request an increase, which takes days."
        return Finding(
            f"{said}, and {held} are in use: too few for the {asked.instances} of pool {asked.pool.id} now", remedy
        )
    return fine(f"{said}, and {held} are in use: enough for pool {asked.pool.id}")


def _raise(need: Need, asked: Asked, region: str) -> str:
    return (
        f"Request an increase to at least {asked.instances}: Service Quotas, {region}, Amazon SageMaker, {need.quota_name!r}. "
        f"It takes days; until then take pool {asked.pool.id} out of the job file."
    )
