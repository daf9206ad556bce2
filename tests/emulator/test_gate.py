"""Who is let in: local, signed requests of no browser, of bounded size. Raw HTTP against the real server."""

from __future__ import annotations

import http.client
import json
from typing import Any, Iterator
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from nightspot.emulator.clients import client
from tests.emulator.stage import ROLE, Stage, stage

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=KEY/20261124/us-east-1/{service}/aws4_request, SignedHeaders=host, "
    f"Signature={'0' * 64}"
)
TARGET = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Content-Type": "application/x-amz-json-1.1"}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("state")) as made:
        yield made


def ask(at: Stage, path: str = "/", body: bytes = b"{}", service: str = "sagemaker", **headers: str) -> tuple[int, Any]:
    """Status and body of a request with these headers changed; "" leaves one out."""
    place = urlsplit(at.endpoint_url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    usual = {"Host": place.netloc, "Authorization": SIGNED.format(service=service), **TARGET}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {**usual, "Content-Length": str(len(body)), **named}
    connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.startswith(b"{") else text


def code_of(answer: tuple[int, Any]) -> str:
    return str(answer[1]["__type"])


def test_a_signed_request_to_this_address_is_answered(at: Stage) -> None:
    assert ask(at) == (200, {"TrainingJobSummaries": []})
    assert ask(at, Host=urlsplit(at.endpoint_url).netloc.replace("127.0.0.1", "localhost"))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:80", ""])
def test_another_host_is_refused(at: Stage, host: str) -> None:
    """A name that somebody's DNS leads to us makes a web page's requests look like requests to itself."""
    status, _ = ask(at, Host=host)
    assert status in (400, 403)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
@pytest.mark.parametrize("service", ["sagemaker", "s3"])
def test_what_a_web_page_sends_is_refused(at: Stage, origin: str, service: str) -> None:
    answer = ask(at, service=service, Origin=origin)
    assert (answer[0], code_of(answer)) == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dXNlcjpwYXNz",
        SIGNED.format(service="sagemaker").replace("/aws4_request", ""),
        SIGNED.format(service="sage maker"),
        SIGNED.format(service="../x"),
        SIGNED.format(service="sagemaker").replace("Signature", "Nothing"),
    ],
)
def test_without_a_signature_nothing_is_answered(at: Stage, header: str) -> None:
    assert ask(at, Authorization=header)[0] == 403


def test_only_s3_may_be_signed_in_its_address(at: Stage) -> None:
    signed = "?X-Amz-Credential=KEY%2F20261124%2Fus-east-1%2F{}%2Faws4_request&X-Amz-Signature=00"
    assert ask(at, path="/" + signed.format("sagemaker"), Authorization="")[0] == 403
    s3 = at.client("s3")
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="signed", Key="a", Body=b"hello")
    session = boto3.session.Session("KEY", "secret", region_name="us-east-1")
    signer = session.client("s3", endpoint_url=at.endpoint_url, config=Config(signature_version="s3v4"))
    address = signer.generate_presigned_url("get_object", Params={"Bucket": "signed", "Key": "a"})
    with urlopen(address, timeout=20) as answer:
        assert answer.read() == b"hello"
    with pytest.raises(HTTPError):
        urlopen(address.partition("?")[0], timeout=20)


def test_bodies_are_bounded_and_must_say_how_long_they_are(at: Stage) -> None:
    assert ask(at, Content_Length=str(3 << 20), body=b"")[0] == 413
    assert ask(at, Content_Length="many", body=b"")[0] == 400
    assert ask(at, Content_Length="", Transfer_Encoding="chunked", body=b"2\r\n{}\r\n0\r\n\r\n")[0] == 411
    assert code_of(ask(at, body=b"[" * 100_000)) == "SerializationException"
    assert code_of(ask(at, body=b"\xff")) == "SerializationException"


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/data.json", "/latest/meta-data/iam/"])
def test_motos_own_pages_are_shut(at: Stage, path: str) -> None:
    assert ask(at, path=path, service="s3")[0] == 404


@pytest.mark.parametrize("service", ["lambda", "batch", "execute-api"])
def test_services_that_would_run_code_or_lead_elsewhere_are_not_there(at: Stage, service: str) -> None:
    assert ask(at, path="/moto-api/x", service=service)[0] == 404
    with pytest.raises(ClientError, match="no lambda"):
        client("lambda", at.endpoint_url).list_functions()


def test_an_unknown_operation_is_an_error_of_the_client(at: Stage) -> None:
    assert code_of(ask(at, X_Amz_Target="SageMaker.__class__")) == "UnknownOperationException"
    assert code_of(ask(at, X_Amz_Target="")) == "UnknownOperationException"


@pytest.mark.parametrize(
    ("service", "call", "asked"),
    [
        ("iam", "simulate_principal_policy", {"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject"]}),
        ("pricing", "get_products", {"ServiceCode": "AmazonSageMaker"}),
        ("logs", "list_anomalies", {}),
    ],
)
def test_what_moto_cannot_do_is_an_error_of_the_client_and_nothing_on_stderr(
    at: Stage, capfd: pytest.CaptureFixture[str], service: str, call: str, asked: dict[str, Any]
) -> None:
    """boto3 does not ask again: nothing is gained by that."""
    with pytest.raises(ClientError, match="nightspot's emulator") as caught:
        getattr(at.client(service), call)(**asked)
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert "".join(capfd.readouterr()) == ""


def test_a_fault_of_motos_is_one_line_and_an_internal_error(at: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    def breaks(*_: object) -> list[bytes]:
        raise AttributeError("odd")

    app = at.emulator.application
    others, app._others = app._others, breaks
    try:
        status, text = ask(at, service="s3", X_Amz_Target="")
    finally:
        app._others = others
    assert (status, b"<Code>InternalFailure</Code>" in text) == (500, True)
    assert capfd.readouterr().err == "a fault of moto's in s3: AttributeError('odd')\n"


def test_who_the_caller_is_and_which_account_it_is(at: Stage) -> None:
    assert at.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_who_speaks_xml_is_refused_in_xml(at: Stage) -> None:
    """boto3 says the code, and does not stumble over the body."""
    for service, call in (("s3", "list_buckets"), ("iam", "list_roles"), ("sts", "get_caller_identity")):
        at.emulator.application.open = False
        try:
            with pytest.raises(ClientError) as caught:
                getattr(client(service, at.endpoint_url), call)()
        finally:
            at.emulator.application.open = True
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable", service


def test_nobody_else_is_answered_before_it_is_ready(at: Stage) -> None:
    at.emulator.application.open = False
    try:
        answer = ask(at)
    finally:
        at.emulator.application.open = True
    assert (answer[0], code_of(answer)) == (503, "ServiceUnavailable")
