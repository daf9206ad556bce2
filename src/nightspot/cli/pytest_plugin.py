"""A fixture for a team's test-suite: `nightspot_drill`, which proves that a training resumes, or fails with what to mend.

    def test_resume(nightspot_drill):
        nightspot_drill("nightspot.toml")

pytest imports this module in every suite of an environment that has nightspot, so it imports nothing until the fixture is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence, Union

import pytest

if TYPE_CHECKING:
    import os

    from nightspot.drill.record import Report


class Drill:
    """What a test gets. Calling it plays one drill."""

    def __init__(self, request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> None:
        self._root, self._factory = request.config.rootpath, factory

    def __call__(
        self,
        job_file: Union[str, os.PathLike[str]] = "nightspot.toml",
        *,
        cases: Optional[Sequence[str]] = None,
        time: Optional[str] = None,
        seed: Optional[int] = None,
        allow_noise: Optional[bool] = None,
        changes: Sequence[str] = (),
        skip: bool = False,
    ) -> Report:
        """Interrupt that job's training as `nightspot drill` does, and return what was found; the test fails unless it is proven.

        job_file: counts from pytest's root folder. cases, time, seed: as the command's options ("kill", "notice"; "10min"). allow_noise:
        whether results within the noise of undisturbed trainings will do. What is None is as the job file says.
        changes: as the command's --set ("drill.args=--epochs 2").
        skip: skip the test where bubblewrap does not work, instead of letting it fail.

        ValueError for a case or a time that there is not.
        """
        __tracebackhide__ = True
        from nightspot.cli.drilltest import Refused, Unplayable, Wishes, proven

        wishes = Wishes(cases, time, seed, allow_noise, tuple(changes))
        folder = self._factory.mktemp("nightspot-drill")
        try:
            return proven(self._root / job_file, folder, wishes)
        except (Unplayable, Refused) as found:
            why = found
        if skip and isinstance(why, Unplayable):
            pytest.skip(str(why))
        pytest.fail(str(why), pytrace=False)  # outside of the handler: the reason is all there is to say


@pytest.fixture
def nightspot_drill(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    """Plays a drill of a nightspot job file: `nightspot_drill("nightspot.toml", cases=["kill", "notice"])`."""
    return Drill(request, tmp_path_factory)
