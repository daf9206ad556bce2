"""What somebody may do, as IAM itself works it out (SimulatePrincipalPolicy). Nothing is called in earnest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from botocore.exceptions import ClientError

from nightspot.backends.aws.trouble import ERRORS, NOT_OFFERED, code_of

ASSUMED = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<name>[^/]+)/.*")


class NotOfferedError(Exception):
    """Whoever answers for IAM does not work out what is allowed: asked again, he will not either."""


@dataclass(frozen=True, slots=True)
class Asking:
    """May these actions be done to these resources, under that context?"""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Mapping[str, str] = field(default_factory=dict)


def principal(client: Any, caller: str) -> str:
    """Whose policies apply to that caller: a session of a role has those of the role.

    The caller's ARN leaves out the role's path; where the role may not be looked at, it is taken to have none.
    """
    found = ASSUMED.fullmatch(caller)
    if found is None:
        return caller
    try:
        return str(client.get_role(RoleName=found["name"])["Role"]["Arn"])
    except ERRORS:
        return f"arn:{found['partition']}:iam::{found['account']}:role/{found['name']}"


def denied(client: Any, source: str, asking: Asking) -> list[str]:
    """The actions that `source` may not do to some of the resources: none for the root user.

    boto3's errors where IAM does not say, NotOfferedError where it never will.
    """
    if source.endswith(":root"):
        return []
    entries = [
        {"ContextKeyName": name, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for name, value in asking.context.items()
    ]
    asked = {"ActionNames": list(asking.actions), "ResourceArns": list(asking.resources), "ContextEntries": entries}
    results = _simulated(client, {"PolicySourceArn": source, **asked})
    decisions = [(one["EvalActionName"], one["EvalDecision"]) for one in results]
    return [action for action in asking.actions if {d for name, d in decisions if name == action} != {"allowed"}]


def _simulated(client: Any, asked: Mapping[str, Any]) -> Any:
    try:
        return client.simulate_principal_policy(**asked)["EvaluationResults"]
    except ClientError as error:
        if code_of(error) in NOT_OFFERED:
            raise NotOfferedError from error
        raise
