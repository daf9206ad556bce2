"""The training image: there, in the region, and with a Python and a torch that are known to work."""

from __future__ import annotations

from typing import Any

import pytest

from nightspot.backends.aws.doctor import findings
from nightspot.backends.aws.images import images
from nightspot.backends.aws.names import Image
from nightspot.backends.aws.support import Versions, versions_of
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import ACCOUNT, REGION, Answers, job, pool, request

AWS_REGISTRY = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
OWN_REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
FOUND = {"images": [{"imageId": {"imageTag": "2.3.0-gpu-py311"}}], "failures": []}
MISSING = {"images": [], "failures": [{"imageId": {"imageTag": "x"}, "failureCode": "ImageNotFound"}]}


def with_image(image: str, **options: Any) -> Any:
    return pool(
        template=request(AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"}), **options
    )


def found(clients: Answers, *pools: Any) -> list[Finding]:
    return findings(job(*pools), clients, looks=(("it", images),))


def test_an_image_that_is_there_is_fine_and_its_versions_said(far: Answers) -> None:
    far.by_operation["BatchGetImage"] = FOUND
    there, versions = found(far)
    assert (there.kind, versions.kind) == (Kind.FINE, Kind.FINE)
    assert "Python 3.11 and torch 2.3" in versions.what
    ((_, _, asked),) = [call for call in far.calls if call[1] == "BatchGetImage"]
    assert (asked["registryId"], asked["repositoryName"]) == ("763104351884", "pytorch-training")


def test_an_image_that_is_not_there_is_fatal_at_aws(far: Answers) -> None:
    far.by_operation["BatchGetImage"] = MISSING
    assert found(far)[0].fatal
    far.by_operation["BatchGetImage"] = "RepositoryNotFoundException"
    assert found(far, with_image(f"{OWN_REGISTRY}/ours:1"))[0].fatal


def test_a_foreign_registry_that_hides_what_it_has_is_no_proof(far: Answers) -> None:
    far.by_operation["BatchGetImage"] = "RepositoryNotFoundException"
    first = found(far)[0]
    assert (first.kind, first.fatal) == (Kind.UNCHECKED, False)


def test_who_may_describe_but_not_pull_still_sees_it(far: Answers) -> None:
    far.by_operation["DescribeImages"] = {"imageDetails": []}
    assert found(far)[0].kind is Kind.FINE
    far.by_operation["DescribeImages"] = "AccessDeniedException"
    first = found(far)[0]
    assert (first.kind, "may not call DescribeImages" in first.what) == (Kind.UNCHECKED, True)


def test_a_real_registry_answers(account: Answers) -> None:
    """moto's: our own account's repository, with and without the image."""
    account("ecr", REGION).create_repository(repositoryName="ours")
    gone = found(account, with_image(f"{OWN_REGISTRY}/ours:1"))[0]
    assert gone.kind is Kind.WRONG
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}'
    account("ecr", REGION).put_image(repositoryName="ours", imageManifest=manifest, imageTag="1")
    assert found(account, with_image(f"{OWN_REGISTRY}/ours:1"))[0].kind is Kind.FINE


def test_an_image_in_another_region_is_fatal(far: Answers) -> None:
    elsewhere = AWS_REGISTRY.replace(REGION, "eu-west-1")
    first = found(far, with_image(f"{elsewhere}/pytorch-training:2.3.0-gpu-py311"))[0]
    assert first.fatal
    assert "the image lies in eu-west-1" in first.what


@pytest.mark.parametrize(
    ("tag", "wrapper", "kind", "fatal", "said"),
    [
        ("1.13.1-gpu-py39-cu117-ubuntu20.04-sagemaker", True, Kind.WRONG, True, "Python 3.9"),
        ("1.13.1-gpu-py39-cu117-ubuntu20.04-sagemaker", False, Kind.WRONG, False, "Python 3.9"),
        ("2.1.0-cpu-py310", True, Kind.WRONG, False, "torch 2.1"),
        ("2.6.0-gpu-py312-cu126-ubuntu22.04-sagemaker", True, Kind.FINE, False, "Python 3.12 and torch 2.6"),
        ("2.10-gpu", True, Kind.FINE, False, "torch 2.10, by its tag: supported, though not tested"),
        ("2.13.1-cpu-py311", True, Kind.FINE, False, "supported"),
        ("nightly", True, Kind.UNCHECKED, False, "cannot be told"),
    ],
)
def test_versions_by_the_tag(far: Answers, tag: str, wrapper: bool, kind: Kind, fatal: bool, said: str) -> None:
    last = found(far, with_image(f"{AWS_REGISTRY}/pytorch-training:{tag}", wrapper=wrapper))[-1]
    assert (last.kind, last.fatal) == (kind, fatal)
    assert said in last.what


def test_only_tags_of_aws_s_own_images_say_what_is_inside() -> None:
    assert versions_of("pytorch-training", "2.3.0-gpu-py311") == Versions((2, 3), (3, 11))
    assert versions_of("huggingface-pytorch-training", "2.3.0-transformers4.48.0-gpu-py311-cu121-ubuntu20.04")
    assert versions_of("team/trainer", "2.3.0-gpu-py311") is None


@pytest.mark.parametrize("image", ["", "docker.io/team/trainer:1"])
def test_an_image_elsewhere_is_said_not_to_have_been_looked_at(far: Answers, image: str) -> None:
    assert {one.kind for one in found(far, with_image(image))} == {Kind.UNCHECKED}


def test_addresses_are_taken_apart() -> None:
    digest = "sha256:" + "a" * 64
    assert Image.of(f"{AWS_REGISTRY}/a/b:1").id == {"imageTag": "1"}  # type: ignore[union-attr]
    assert Image.of(f"{AWS_REGISTRY}/a/b").id == {"imageTag": "latest"}  # type: ignore[union-attr]
    assert Image.of(f"{AWS_REGISTRY}/a/b:1@{digest}").id == {"imageDigest": digest}  # type: ignore[union-attr]
    assert Image.of(f"{AWS_REGISTRY}.cn/a/b").repository == "a/b"  # type: ignore[union-attr]
