"""Credentials, region and role: told apart by AWS's codes, each with what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)

from nightspot.backends.aws.doctor import findings
from nightspot.backends.aws.identity import credentials, region, role
from nightspot.backends.aws.simulate import Asking, denied
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import ACCOUNT, ME, ROLE, Answers, job, pool, request
from tests.backends.aws.conftest import TRUST

SESSION = {**ME, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ada"}


def found(clients: Any, look: Any, *pools: Any) -> list[Finding]:
    return findings(job(*pools), clients, looks=(("it", look),))


def simulated(**decisions: str) -> Any:
    """SimulatePrincipalPolicy: allowed, unless an action's name says otherwise."""

    def answer(asked: Any) -> dict[str, Any]:
        actions = asked["ActionNames"]
        return {
            "EvaluationResults": [
                {"EvalActionName": a, "EvalDecision": decisions.get(a.partition(":")[2], "allowed")} for a in actions
            ]
        }

    return answer


def described(document: Any = TRUST) -> dict[str, Any]:
    made = {"Path": "/", "RoleName": "trainer", "RoleId": "AROA" + "X" * 16, "Arn": ROLE, "CreateDate": 0}
    return {"Role": {**made, "AssumeRolePolicyDocument": json.dumps(document)}}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoCredentialsError(), "no AWS credentials"),
        (ProfileNotFound(profile="x"), "no AWS credentials"),
        ("ExpiredToken", "have expired"),
        ("ExpiredTokenException", "have expired"),
        (UnauthorizedSSOTokenError(), "have expired"),
        ("InvalidClientTokenId", "does not accept"),
        ("SignatureDoesNotMatch", "does not accept"),
        ("RequestTimeTooSkewed", "clock"),
    ],
)
def test_credentials_that_do_not_work_are_fatal_each_in_its_own_words(far: Answers, error: Any, said: str) -> None:
    far.by_operation["GetCallerIdentity"] = error
    (only,) = found(far, credentials)
    assert only.fatal
    assert said in only.what
    assert only.remedy


@pytest.mark.parametrize("error", [EndpointConnectionError(endpoint_url="https://sts"), "ServiceUnavailable"])
def test_a_network_that_fails_says_nothing_of_the_credentials(far: Answers, error: Any) -> None:
    far.by_operation["GetCallerIdentity"] = error
    (only,) = found(far, credentials)
    assert (only.kind, only.fatal) == (Kind.UNCHECKED, False)


def test_credentials_that_cannot_renew_themselves_are_warned_of(far: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert [one.kind for one in found(far, credentials)] == [Kind.FINE]
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert [one.kind for one in found(far, credentials)] == [Kind.FINE, Kind.WRONG]


class Everything(dict[str, Any]):
    """One answer to all that is asked."""

    def get(self, _key: str, _default: Any = None) -> Any:
        return NoCredentialsError()


def test_without_credentials_every_look_says_so_and_none_is_hidden() -> None:
    said = findings(job(), Answers(None, Everything()))
    words = " / ".join(one.what for one in said)
    for what in ("quotas", "credentials", "role", "bucket", "image", "clock", "channel", "source", "cost"):
        assert what in words
    assert [one.what for one in said if one.fatal] == ["there are no AWS credentials"]


def test_the_region_is_said_and_one_that_nobody_set_is_fatal(far: Answers) -> None:
    (set_,) = found(far, region)
    assert (set_.kind, set_.what) == (Kind.FINE, "the region of spot, od is us-east-1")

    def homeless(service: str, where: str, /) -> Any:
        if not where:
            raise NoRegionError
        return far(service, where)

    (unset,) = found(homeless, region, pool(region=""))
    assert unset.fatal
    assert "AWS_REGION" in unset.remedy


def test_a_region_that_is_none_is_warned_of_and_a_far_one_is_not(far: Answers) -> None:
    """A newer region than our boto3 knows may be right: not fatal."""
    (only,) = found(far, region, pool(region="us-esat-1"))
    assert (only.kind, only.fatal) == (Kind.WRONG, False)
    assert "'us-esat-1'" in only.what
    assert [one.kind for one in found(far, region, pool(region="cn-north-1"))] == [Kind.FINE]


def test_a_role_that_can_be_passed_and_write_is_fine(far: Answers) -> None:
    far.by_operation |= {"GetRole": described(), "SimulatePrincipalPolicy": simulated()}
    assert [one.kind for one in found(far, role)] == [Kind.FINE] * 6
    asked = [dict(params) for _, name, params in far.calls if name == "SimulatePrincipalPolicy"]
    assert asked[0]["ActionNames"] == ["iam:PassRole"]
    assert asked[0]["ContextEntries"][0]["ContextKeyValues"] == ["sagemaker.amazonaws.com"]
    assert asked[1]["ResourceArns"] == [f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/rec-*"]
    assert asked[2]["PolicySourceArn"] == ROLE


@pytest.mark.parametrize(
    ("action", "fatal", "said"),
    [
        ("PassRole", True, "may not pass the role trainer"),
        ("StopTrainingJob", True, "may not call sagemaker:StopTrainingJob"),
        ("GetObject", False, "the role trainer may not s3:GetObject on the data (s3://nights/data)"),
    ],
)
def test_what_iam_would_deny_is_found(far: Answers, action: str, fatal: bool, said: str) -> None:
    far.by_operation |= {"GetRole": described(), "SimulatePrincipalPolicy": simulated(**{action: "implicitDeny"})}
    bad = [one for one in found(far, role) if one.kind is Kind.WRONG]
    assert said in bad[-1].what
    assert bad[-1].fatal == fatal


def test_what_is_denied_on_one_of_several_places_is_denied(far: Answers) -> None:
    results = [{"EvalActionName": "s3:GetObject", "EvalDecision": one} for one in ("allowed", "explicitDeny")]
    far.by_operation["SimulatePrincipalPolicy"] = {"EvaluationResults": results}
    asking = Asking(("s3:GetObject",), ("arn:aws:s3:::a/*", "arn:aws:s3:::b/*"))
    assert denied(far("iam", ""), ROLE, asking) == ["s3:GetObject"]
    assert denied(far("iam", ""), f"arn:aws:iam::{ACCOUNT}:root", asking) == []


def test_a_session_of_a_role_has_the_policies_of_that_role(far: Answers) -> None:
    far.by_operation |= {"GetCallerIdentity": SESSION, "SimulatePrincipalPolicy": simulated()}
    found(far, role)
    sources = {params["PolicySourceArn"] for _, name, params in far.calls if name == "SimulatePrincipalPolicy"}
    assert sources == {f"arn:aws:iam::{ACCOUNT}:role/ops", ROLE}


def test_where_iam_may_not_be_asked_it_is_said_and_nothing_guessed(far: Answers) -> None:
    said = found(far, role)
    assert [one.kind for one in said] == [Kind.UNCHECKED] * 6
    assert all("may not call" in one.what for one in said)


def test_a_role_that_sagemaker_may_not_take_on_is_fatal(far: Answers) -> None:
    other = json.loads(json.dumps(TRUST).replace("sagemaker", "lambda"))
    far.by_operation["GetRole"] = described(other)
    assert found(far, role)[0].fatal
    far.by_operation["GetRole"] = described(
        {"Statement": {"Effect": "Deny", "Principal": {"Service": ["sagemaker.amazonaws.com"]}}}
    )
    assert found(far, role)[0].fatal
    far.by_operation["GetRole"] = described(
        {"Statement": {"Effect": "Allow", "Principal": {"Service": ["sagemaker.amazonaws.com"]}}}
    )
    assert not found(far, role)[0].fatal


@pytest.mark.parametrize("arn", ["", "trainer", "arn:aws:iam::123456789012:user/ada"])
def test_what_is_no_role_is_fatal(far: Answers, arn: str) -> None:
    assert [one.fatal for one in found(far, role, pool(template=request(RoleArn=arn)))] == [True]


def test_a_role_that_is_missing_or_in_another_account_is_fatal_at_aws_and_elsewhere_only_said(
    far: Answers, account: Answers
) -> None:
    """An emulator passes no roles."""
    gone = pool(template=request(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/path/gone"))
    foreign = pool(template=request(RoleArn="arn:aws:iam::999999999999:role/trainer"))
    far.by_operation["GetRole"] = "NoSuchEntity"
    assert found(far, role, gone)[0].fatal
    assert any(one.fatal and "belongs to account 999999999999" in one.what for one in found(far, role, foreign))
    assert not found(account, role, gone)[0].fatal
    assert not any(one.fatal for one in found(account, role, foreign))
    assert found(account, role, gone)[0].what.startswith("there is no role gone at http://127.0.0.1")
    for one in [*found(account, role, gone), *found(account, role, foreign)]:
        assert one.kind is not Kind.WRONG, "any role will do there: no reason to warn"


def test_an_address_that_does_not_work_out_permissions_is_said_once(account: Answers) -> None:
    account.by_operation["SimulatePrincipalPolicy"] = "UnknownOperationException"
    there, asked = found(account, role)
    assert (there.kind, asked.kind) == (Kind.FINE, Kind.UNCHECKED)
    assert "may do cannot be seen: http://127.0.0.1" in asked.what
    assert account.names().count("SimulatePrincipalPolicy") == 1


def test_the_trust_policy_of_a_real_role_is_read(account: Answers) -> None:
    assert found(account, role)[0].kind is Kind.FINE
