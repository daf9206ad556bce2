"""A request against the service's own model, as botocore has it. Only where boto3 is installed: `pip install 'nightspot[aws]'`.

boto3 itself checks less (no pattern, no word of a list), and only when the request is sent. Of instance types AWS has new ones before
an installed boto3 knows them: their names are not checked here.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any, Callable, Iterator, Mapping, Optional

from nightspot.jobfile.fields import nearest
from nightspot.jobfile.findings import Path, Request, Wrong
from nightspot.jobfile.tomltext import short

OPERATION = "CreateTrainingJob"
LATER_THAN_BOTO3 = re.compile(r".*InstanceType")
DESCRIBED = ("TrainingJobArn", "TrainingJobStatus", "SecondaryStatus", "CreationTime")


@functools.lru_cache(maxsize=1)
def create_training_job() -> Optional[Any]:
    """The shape of the request; None where there is no botocore."""
    try:
        loaders = importlib.import_module("botocore.loaders")
        model = importlib.import_module("botocore.model")
    except ImportError:
        return None
    document = loaders.Loader().load_service_model("sagemaker", "service-2")
    return model.ServiceModel(document, "sagemaker").operation_model(OPERATION).input_shape


def against_the_model(request: Request) -> Iterator[Wrong]:
    """Each field that the service would not take. Without botocore: nothing is known."""
    shape = create_training_job()
    if shape is not None:
        yield from _look(request, shape, ())


def _look(value: Any, shape: Any, path: Path) -> Iterator[Wrong]:
    expected = _type(value, shape.type_name)
    if expected is not None:
        yield Wrong(path, value, expected, _of_type(value, shape.type_name))
        return
    yield from INSIDE.get(shape.type_name, _nothing)(value, shape, path)
    yield from _limits(value, shape, path)


def _type(value: Any, kind: str) -> Optional[str]:
    words, classes = TYPES.get(kind, ("", (object,)))
    right = isinstance(value, classes) and (kind == "boolean" or not isinstance(value, bool))
    return None if right else f"expected {words}"


def _of_type(value: Any, kind: str) -> str:
    if kind == "string" and isinstance(value, (int, float)):
        return f'Write it in quotes: "{short(value)}".'
    return f"{OPERATION} in the SageMaker API reference says what belongs there."


def _structure(value: Mapping[str, Any], shape: Any, path: Path) -> Iterator[Wrong]:
    for key in value:
        if key not in shape.members:
            yield Wrong((*path, key), value[key], f"{OPERATION} has no such field here", _unknown(key, shape.members))
    for key in shape.required_members:
        if key not in value:
            yield Wrong((*path, key), None, f"{OPERATION} needs it", "Add it.")
    for key, member in shape.members.items():
        if key in value:
            yield from _look(value[key], member, (*path, key))


def _unknown(key: str, known: Mapping[str, Any]) -> str:
    if key in DESCRIBED:
        return "This is what DescribeTrainingJob says: `nightspot init --from-training-job NAME` writes a request."
    hint = nearest(key, known)
    return hint if hint.startswith("Did") else "Leave it out; or your boto3 is older than the field: update it."


def _list(value: list[Any], shape: Any, path: Path) -> Iterator[Wrong]:
    for index, item in enumerate(value):
        yield from _look(item, shape.member, (*path, index))


def _map(value: Mapping[str, Any], shape: Any, path: Path) -> Iterator[Wrong]:
    for key, item in value.items():
        yield from _look(key, shape.key, (*path, key))
        yield from _look(item, shape.value, (*path, key))


def _string(value: str, shape: Any, path: Path) -> Iterator[Wrong]:
    words = shape.metadata.get("enum")
    if words and value not in words and not LATER_THAN_BOTO3.fullmatch(shape.name):
        yield Wrong(path, value, "the service has no such word here", nearest(value, words))
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield Wrong(path, value, f"expected a text that matches {pattern}", "Correct it.")


def _matches(pattern: str, value: str) -> bool:
    """True also where the pattern is none for Python: the service has the last word."""
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        return True


def _nothing(_value: Any, _shape: Any, _path: Path) -> Iterator[Wrong]:
    return iter(())


def _limits(value: Any, shape: Any, path: Path) -> Iterator[Wrong]:
    """Smallest and largest: of a number its value, of all else its length."""
    size = value if isinstance(value, (int, float)) else len(value) if hasattr(value, "__len__") else None
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    what = "" if isinstance(value, (int, float)) else {"string": " characters"}.get(shape.type_name, " entries")
    if size is not None and least is not None and size < least:
        yield Wrong(path, value, f"at least {least}{what} are needed", "Correct it.")
    if size is not None and most is not None and size > most:
        yield Wrong(path, value, f"at most {most}{what} are allowed", "Correct it.")


INSIDE: Mapping[str, Callable[[Any, Any, Path], Iterator[Wrong]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
}
TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "structure": ("an object", (dict,)),
    "map": ("an object", (dict,)),
    "list": ("a list", (list,)),
    "string": ("a text", (str,)),
    "boolean": ("true or false", (bool,)),
    "float": ("a number", (int, float)),
    "double": ("a number", (int, float)),
    "integer": ("a whole number", (int,)),
    "long": ("a whole number", (int,)),
}
