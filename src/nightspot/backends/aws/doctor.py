"""The SageMaker doctor: what would go wrong tonight, looked for before any money is spent. The most expensive surprise comes first.

Each look is on its own: one that fails, or gets no answer in time, says so and hides no other. Nothing is changed in the account, but
for one small object that is written under the checkpoints' prefix and deleted again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from nightspot.backends.aws.asked import asked_of
from nightspot.backends.aws.bucketcheck import buckets, channels, source
from nightspot.backends.aws.clients import Clients, OneAtATime
from nightspot.backends.aws.identity import credentials, region, role
from nightspot.backends.aws.images import images
from nightspot.backends.aws.instancetypes import instance_types
from nightspot.backends.aws.look import Case, Look, unchecked
from nightspot.backends.aws.neighbours import neighbours
from nightspot.backends.aws.quotas import quotas
from nightspot.backends.aws.settingscheck import checkpoint_path, clock, limits, prices
from nightspot.backends.aws.trouble import ERRORS, reason
from nightspot.model.job import Job
from nightspot.night.ports import Finding

BUDGET_S = 60.0
LOOKS: tuple[tuple[str, Look], ...] = (
    ("the quotas", quotas),
    ("the instance types", instance_types),
    ("the credentials", credentials),
    ("the region", region),
    ("the role", role),
    ("the bucket", buckets),
    ("the neighbours", neighbours),
    ("the image", images),
    ("the folder of the checkpoints", checkpoint_path),
    ("the limits of the template", limits),
    ("the clock", clock),
    ("the prices", prices),
    ("the data", channels),
    ("the source", source),
)


def findings(
    job: Job,
    clients: Clients,
    home: Path | None = None,
    looks: Sequence[tuple[str, Look]] = LOOKS,
    budget_s: float = BUDGET_S,
) -> list[Finding]:
    """All that is wrong, fine or not to be seen with the SageMaker Pools of that Job, in the order of `looks`, each once. Never raises.

    It takes at most `budget_s` real seconds: a look that has not answered by then is said not to have been made. `home`: nightspot's own
    folder, where prices are remembered.
    """
    asked = asked_of(job)
    if not asked:
        return []
    case = Case(job, asked, OneAtATime(clients), home or Path(), time.time)
    begun = [_Looking(what, look, case) for what, look in looks]
    until_s = time.monotonic() + budget_s
    for one in begun:
        one.thread.join(max(0.0, until_s - time.monotonic()))
    return list(dict.fromkeys([finding for one in begun for finding in one.result(budget_s)]))


@dataclass(slots=True)
class _Looking:
    """One look in a thread of its own: a daemon, since a connection that hangs must not keep the command from ending."""

    what: str
    look: Look
    case: Case
    found: list[Finding] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"doctor: {self.what}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for finding in self.look(self.case):
                self.found.append(finding)
        except ERRORS as error:
            self.found.append(unchecked(f"{self.what} cannot be checked: {reason(error)}"))
        except Exception as error:  # a fault of ours in one look hides no other
            self.found.append(unchecked(f"{self.what} cannot be checked: a fault of nightspot's own ({error!r})"))

    def result(self, budget_s: float) -> list[Finding]:
        """What it has found so far."""
        late = [unchecked(f"{self.what}: there was no answer within {budget_s:g} s")] if self.thread.is_alive() else []
        return [*self.found, *late]
