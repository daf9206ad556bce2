"""How a job gets its instance: the spec of a machine, from the record and the settings."""

from __future__ import annotations

import uuid

from nightspot.emulator.agent import SyncSettings
from nightspot.emulator.folder import StateFolder
from nightspot.emulator.instance import Instance, MakeInstance
from nightspot.emulator.machine import Machine, MachineSpec
from nightspot.emulator.record import JobRecord
from nightspot.emulator.settings import Settings

MISSES_LAST_S = 30.0


def machines(endpoint_url: str, settings: Settings, folder: StateFolder) -> MakeInstance:
    """Real machines of that emulator. Their disks are called by names of our own."""

    def make(record: JobRecord) -> Instance:
        return Machine(
            MachineSpec(
                job_name=record.name,
                request=record.request,
                folder=folder.scratch / uuid.uuid4().hex,
                incarnation=record.incarnation,
                endpoint_url=endpoint_url,
                region=record.region,
                time_scale=settings.time_scale,
                sync=sync_settings(settings),
                instance_type=record.selected_type or "",
            )
        )

    return make


def sync_settings(settings: Settings) -> SyncSettings:
    """As bad as the worst case in AWS's silence, and worse where `no-sync` was asked for."""
    return SyncSettings(
        interval_market_s=settings.sync_s,
        torn=True,
        misses_last_s=MISSES_LAST_S,
        stopped_after=settings.faults.no_sync,
    )
