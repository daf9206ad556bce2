"""Who asks, where, and as whom the training will run."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Iterator, Mapping

from botocore.exceptions import NoRegionError
from botocore.session import Session

from nightspot.backends.aws.asked import Asked, Place
from nightspot.backends.aws.look import Case, aws_itself, fine, on_this_machine, region_of, unchecked
from nightspot.backends.aws.names import SERVICE, Role
from nightspot.backends.aws.simulate import Asking, NotOfferedError, denied, principal
from nightspot.backends.aws.trouble import (
    ERRORS,
    EXPIRED,
    INVALID,
    NO_CREDENTIALS,
    NO_LOGIN,
    SKEWED,
    code_of,
    is_missing,
    reason,
)
from nightspot.night.ports import Finding

LOG_IN = "Log in again, or set credentials where boto3 looks for them (a profile, the environment, the machine's role)."
# What the controller itself must be allowed to do with its own trainings. Without Stop nobody could end what bills.
ACTIONS = tuple(
    f"sagemaker:{name}" for name in ("CreateTrainingJob", "StopTrainingJob", "DescribeTrainingJob", "AddTags")
)

VERBS = {"s3:GetObject": "read", "s3:PutObject": "write"}


def credentials(case: Case) -> Iterator[Finding]:
    """Whether AWS knows us, and for how long."""
    try:
        me = case.clients("sts", case.regions[0]).get_caller_identity()
    except ERRORS as error:
        yield _no_identity(error)
        return
    yield fine(f"the credentials are those of {me['Arn']}")
    if os.environ.get("AWS_SESSION_TOKEN"):
        yield Finding(
            "the credentials in the environment are temporary, and cannot renew themselves: they may expire before the morning",
            "Use a profile or a role that boto3 can renew.",
        )


def _no_identity(error: BaseException) -> Finding:
    code = code_of(error)
    if isinstance(error, NO_CREDENTIALS):
        return Finding("there are no AWS credentials", LOG_IN, fatal=True)
    if isinstance(error, NO_LOGIN) or code in EXPIRED:
        return Finding("the AWS credentials have expired", LOG_IN, fatal=True)
    if code in INVALID:
        return Finding(f"AWS does not accept these credentials ({code})", LOG_IN, fatal=True)
    if code in SKEWED:
        return Finding(f"AWS refuses what this machine's clock signs ({code})", "Set this machine's clock.", fatal=True)
    return unchecked(f"the credentials cannot be checked: {reason(error)}")


def region(case: Case) -> Iterator[Finding]:
    """Whether one is set. A Pool's own wins over boto3's default."""
    for name in case.regions:
        found = name or _default_region(case)
        pools = ", ".join(one.pool.id for one in case.in_region(name))
        if found and found not in _regions():
            remedy = "Correct `region`: a wrong one has no servers, and looks like a network that fails."
            yield Finding(f"the region of {pools} is {found!r}: boto3 knows no region of that name", remedy)
        elif found:
            yield fine(f"the region of {pools} is {found}" + ("" if name else ", boto3's default here"))
        else:
            yield Finding(f"no region is set for {pools}", "Set the pool's `region`, or AWS_REGION.", fatal=True)


@cache
def _regions() -> frozenset[str]:
    """All where SageMaker is, as far as the boto3 that is installed knows."""
    session = Session()
    partitions = session.get_available_partitions()
    return frozenset(name for one in partitions for name in session.get_available_regions("sagemaker", one))


def _default_region(case: Case) -> str:
    try:
        return region_of(case.clients("sagemaker", ""))
    except NoRegionError:
        return ""


def role(case: Case) -> Iterator[Finding]:
    """For each role: is it there, may SageMaker take it, may we pass it, may it read and write what it must."""
    for arn in dict.fromkeys(one.role for one in case.asked):
        asked = next(one for one in case.asked if one.role == arn)
        found = Role.of(arn)
        if found is None:
            stood = f"{arn!r} is not the ARN of a role" if arn else "the template names no role"
            yield Finding(stood, "Give RoleArn: the role that the training runs as.", fatal=True)
        else:
            yield from _of_role(case, asked, found)


def _of_role(case: Case, asked: Asked, role_: Role) -> Iterator[Finding]:
    client = case.clients("iam", asked.region)
    yield _trust(client, role_)
    try:
        me = case.clients("sts", asked.region).get_caller_identity()
    except ERRORS as error:
        yield unchecked(f"whether {role_.name} can be passed to SageMaker cannot be seen: {reason(error)}")
        return
    if me["Account"] != role_.account:
        yield _foreign(client, role_, me["Account"])
        return
    try:
        yield _pass(client, me["Arn"], role_)
        yield _controller(client, me["Arn"], case, asked)
        yield from _objects(client, role_, asked)
    except NotOfferedError:
        who = f"the role {role_.name} and these credentials"
        yield unchecked(f"what {who} may do cannot be seen: {client.meta.endpoint_url} does not answer that question")


def _foreign(client: Any, role_: Role, account: str) -> Finding:
    said = f"the role {role_.name} belongs to account {role_.account}, and these credentials to {account}"
    if on_this_machine(client):
        return unchecked(f"{said}: an emulator minds neither")
    remedy = "Use credentials of that account, or a role of this one."
    return Finding(f"{said}: it cannot be passed", remedy, fatal=aws_itself(client))


def _trust(client: Any, role_: Role) -> Finding:
    try:
        document = client.get_role(RoleName=role_.name)["Role"]["AssumeRolePolicyDocument"]
    except ERRORS as error:
        if is_missing(error):
            return _gone(client, role_)
        return unchecked(f"the role {role_.name} cannot be looked at: {reason(error)}")
    if _trusts(document):
        return fine(f"the role {role_.name} is there, and SageMaker may take it on")
    remedy = f"Add {SERVICE} to the role's trust policy, with sts:AssumeRole."
    return Finding(f"SageMaker may not take on the role {role_.name}", remedy, fatal=True)


def _gone(client: Any, role_: Role) -> Finding:
    said = f"there is no role {role_.name}" + ("" if aws_itself(client) else f" at {client.meta.endpoint_url}")
    if on_this_machine(client):
        return unchecked(f"{said}, where any will do: whether AWS has it is not known")
    return Finding(said, "Correct RoleArn in the template.", fatal=aws_itself(client))


def _trusts(document: Any) -> bool:
    """Whether an Allow statement names SageMaker; conditions are not weighed."""
    statements = document.get("Statement", []) if isinstance(document, Mapping) else []
    return any(
        one.get("Effect") == "Allow" and SERVICE in _several(one.get("Principal", {}), "Service")
        for one in (statements if isinstance(statements, list) else [statements])
    )


def _several(principal_: Any, kind: str) -> list[str]:
    named = principal_.get(kind, []) if isinstance(principal_, Mapping) else []
    return [named] if isinstance(named, str) else list(named)


def _pass(client: Any, caller: str, role_: Role) -> Finding:
    context = {"iam:PassedToService": SERVICE}
    try:
        refused = denied(client, principal(client, caller), Asking(("iam:PassRole",), (role_.arn,), context))
    except ERRORS as error:
        return unchecked(f"whether {role_.name} can be passed to SageMaker cannot be seen: {reason(error)}", BY_HAND)
    if refused:
        return Finding(f"these credentials may not pass the role {role_.name} to SageMaker", POLICY, fatal=True)
    return fine(f"the role {role_.name} can be passed to SageMaker")


BY_HAND = "`nightspot iam` prints the policy that the controller needs: compare."
POLICY = "`nightspot iam` prints the policy that the controller needs: attach it."


def _controller(client: Any, caller: str, case: Case, asked: Asked) -> Finding:
    """Launching without the right to stop would be the dearest mistake of all."""
    where = region_of(case.clients("sagemaker", asked.region))
    parts = caller.split(":")
    trainings = f"arn:{parts[1]}:sagemaker:{where}:{parts[4]}:training-job/{case.job.name}-*"
    try:
        refused = denied(client, principal(client, caller), Asking(ACTIONS, (trainings,)))
    except ERRORS as error:
        return unchecked(f"whether trainings may be created, seen and stopped cannot be told: {reason(error)}", BY_HAND)
    if refused:
        return Finding(f"these credentials may not call {', '.join(refused)} on {trainings}", POLICY, fatal=True)
    return fine(f"these credentials may create, see and stop trainings called {case.job.name}-*")


def _objects(client: Any, role_: Role, asked: Asked) -> Iterator[Finding]:
    """It is the role, not we, that reads data and writes checkpoints and the model. Rules of the buckets themselves are not weighed."""
    data = [channel.place for channel in asked.channels if channel.place is not None]
    for what, actions, places in (
        ("checkpoints", ("s3:GetObject", "s3:PutObject"), [asked.checkpoints]),
        ("the model", ("s3:PutObject",), [asked.output]),
        ("the data", ("s3:GetObject",), data),
    ):
        named = [place for place in places if place is not None]
        if named:
            yield _may(client, role_, f"{what} ({', '.join(dict.fromkeys(map(str, named)))})", actions, named)


def _may(client: Any, role_: Role, what: str, actions: tuple[str, ...], places: list[Place]) -> Finding:
    objects = [f"arn:{role_.partition}:s3:::{place.bucket}/{place.folder}doctor" for place in places]
    verb = " and ".join(VERBS[action] for action in actions)
    try:
        refused = denied(client, role_.arn, Asking(actions, tuple(dict.fromkeys(objects))))
    except ERRORS as error:
        return unchecked(f"whether the role {role_.name} can {verb} {what} cannot be seen: {reason(error)}")
    if refused:
        remedy = "Allow it in the role's policy, unless the bucket's own does: SageMaker finds out when the instance is paid for."
        return Finding(f"the role {role_.name} may not {', '.join(refused)} on {what}", remedy)
    return fine(f"the role {role_.name} can {verb} {what}")
