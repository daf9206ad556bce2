"""The training image: whether it is there, and whether what is in it is known to work."""

from __future__ import annotations

from typing import Any, Iterator

from botocore.exceptions import ClientError

from nightspot.backends.aws.asked import Asked
from nightspot.backends.aws.look import Case, aws_itself, fine, region_of, unchecked
from nightspot.backends.aws.names import Image
from nightspot.backends.aws.support import PYTHON_OLDEST, TORCH_OLDEST, TORCH_TESTED, versions_of
from nightspot.backends.aws.trouble import ERRORS, code_of, reason
from nightspot.night.ports import Finding

REMEDY = "Correct AlgorithmSpecification.TrainingImage in the template."
MEDIA_TYPES = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]


def images(case: Case) -> Iterator[Finding]:
    """Each image once."""
    for address in dict.fromkeys(one.image for one in case.asked):
        asked = next(one for one in case.asked if one.image == address)
        image = Image.of(address)
        if not address:
            yield unchecked(
                "the template names no training image: what is in it, and whether it is there, is not known"
            )
        elif image is None:
            yield unchecked(f"the image {address} does not lie in ECR: it was not looked at")
        else:
            yield from _of_image(case, asked, image)


def _of_image(case: Case, asked: Asked, image: Image) -> Iterator[Finding]:
    trains_in = region_of(case.clients("sagemaker", asked.region))
    if image.region != trains_in:
        said = f"the image lies in {image.region}, and pool {asked.pool.id} trains in {trains_in}"
        yield Finding(said, f"Use the image of {trains_in}: SageMaker pulls from its own region only.", fatal=True)
    yield _there(case, asked, image)
    yield _versions(asked, image)


def _there(case: Case, asked: Asked, image: Image) -> Finding:
    client = case.clients("ecr", image.region)
    try:
        answer = _look(client, image)
    except ERRORS as error:
        missing = code_of(error) in ("RepositoryNotFoundException", "ImageNotFoundException")
        if missing and _ours(case, asked, image):
            return Finding(f"there is no image {image.address}", REMEDY, fatal=aws_itself(client))
        return unchecked(f"whether the image {image.address} is there cannot be seen: {reason(error)}")
    gone = [failure.get("failureCode") for failure in answer.get("failures", ())]
    if "ImageNotFound" in gone or "ImageTagDoesNotMatchDigest" in gone:
        return Finding(f"there is no image {image.address}", REMEDY, fatal=aws_itself(client))
    if gone:
        return unchecked(f"whether the image {image.address} is there cannot be seen: ECR says {gone[0]}")
    return fine(f"the image {image.address} is there")


def _look(client: Any, image: Image) -> Any:
    """Pulling needs BatchGetImage; some may describe only."""
    where = {"registryId": image.registry, "repositoryName": image.repository, "imageIds": [image.id]}
    try:
        return client.batch_get_image(acceptedMediaTypes=MEDIA_TYPES, **where)
    except ClientError as error:
        if code_of(error) != "AccessDeniedException":
            raise
    return client.describe_images(**where)


def _ours(case: Case, asked: Asked, image: Image) -> bool:
    """A foreign registry may hide what it has."""
    return str(case.clients("sts", asked.region).get_caller_identity()["Account"]) == image.registry


def _versions(asked: Asked, image: Image) -> Finding:
    """By the tag: nothing is pulled."""
    found = versions_of(image.repository, image.tag)
    if found is None:
        what = f"which Python and torch are in {image.repository}:{image.tag} cannot be told"
        return unchecked(f"{what}: its name is not that of an AWS PyTorch image", OLDEST)
    if found.python is not None and found.python < PYTHON_OLDEST:
        said = f"the image has {found.words}: nightspot's own code needs Python 3.10"
        remedy = f"Use a newer image{', or set wrapper = false' if asked.wrapper else ''}."
        return Finding(said, remedy, fatal=asked.wrapper)
    if found.torch < TORCH_OLDEST:
        said = f"the image has {found.words}: nightspot.checkpoint needs torch 2.3"
        return Finding(said, "Use a newer image; a script that writes checkpoints of its own needs none of it.")
    tested = "" if found.torch in TORCH_TESTED else ", though not tested: see docs/support.md"
    return fine(f"the image has {found.words}, by its tag: supported{tested}")


OLDEST = (
    "Python 3.10 and torch 2.3 are the oldest that nightspot's own code runs on: `python --version` in the image tells."
)
