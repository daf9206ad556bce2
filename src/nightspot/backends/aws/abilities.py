"""What can be done with a Pool on SageMaker, and how long it takes to be sure of it."""

from __future__ import annotations

from nightspot.model.capacity import Abilities, Pool

# A request that was sent and not answered may still be carried out so much later (real seconds); an emulator's, at once.
LAG_S, LAG_EMULATED_S = 60.0, 2.0
# One wake makes some eight calls, each tried again under throttling until its budget is spent (real seconds).
CALLS_S, CALLS_EMULATED_S = 120.0, 0.5
# From `go` to the first unit of work: the word is looked for every 3 seconds, newer checkpoints are fetched, the program starts and
# restores (real seconds, assumed).
HANDOVER_S, HANDOVER_EMULATED_S = 90.0, 4.0


def abilities(pool: Pool, time_scale: float) -> Abilities:
    """Words reach the training where the wrapper listens for them; there a PROBE can wait for its `go`, too."""
    emulated, wrapper = time_scale != 1, bool(pool.options.get("wrapper"))
    lag_s = LAG_EMULATED_S if emulated else LAG_S
    calls_s = CALLS_EMULATED_S if emulated else CALLS_S
    handover_s = HANDOVER_EMULATED_S if emulated else HANDOVER_S
    return Abilities(
        queues=True,
        restarts_inside=True,
        control=wrapper,
        beside=wrapper,
        handover=wrapper,
        handover_s=handover_s * time_scale if wrapper else 0.0,
        visibility_lag_s=lag_s * time_scale,
        calls_s=calls_s * time_scale,
    )
