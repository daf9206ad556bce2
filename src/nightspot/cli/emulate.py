"""`nightspot emulate`: a SageMaker on this machine, for trying out what a night on Spot does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Iterable, Optional

import typer

from nightspot.emulator import motoside, options
from nightspot.emulator.container import what_is_missing
from nightspot.emulator.errors import EmulatorError, EmulatorOptionError
from nightspot.emulator.settings import Delays, Settings

SERVICES = ("sagemaker",)
SLOWEST, FASTEST = 0.001, 1_000_000


def emulate(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="What to emulate: sagemaker.")],
    *,
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1. Default: any that is free.", min=0, max=65535)] = 0,
    state: Annotated[
        Optional[Path], typer.Option(help="The folder that keeps everything. Default: .nightspot-emulator here.")
    ] = None,
    market: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Capacity: SPEC for all Spot, TYPE=SPEC or TYPE:on-demand=SPEC for one pool. May be repeated."
        ),
    ] = None,
    time_scale: Annotated[float, typer.Option(help="How many times as fast as real time market time passes.")] = 1.0,
    anchor_market_utc: Annotated[
        Optional[float], typer.Option(help="Market time at the real anchor, epoch seconds.")
    ] = None,
    anchor_real_utc: Annotated[Optional[float], typer.Option(help="Real time of the anchor, epoch seconds.")] = None,
    quota: Annotated[
        Optional[list[str]], typer.Option(help="TYPE:spot=N or TYPE:on-demand=N. May be repeated.")
    ] = None,
    spot_factor: Annotated[
        Optional[list[str]], typer.Option(help="Price of Spot as a share of on-demand: F, or TYPE=F. May be repeated.")
    ] = None,
    faults: Annotated[str, typer.Option(help=f"What goes wrong: {options.FAULTS}.")] = "",
    sync_every: Annotated[str, typer.Option(help="How often checkpoints are synced, in market time.")] = "60s",
    start_delay: Annotated[str, typer.Option(help="From capacity to an instance, in market time.")] = "120s",
    download_delay: Annotated[str, typer.Option(help="Downloading, at least, in market time.")] = "60s",
    upload_delay: Annotated[str, typer.Option(help="Uploading, at least, in market time.")] = "30s",
    idle_exit: Annotated[
        Optional[str], typer.Option(help="Exit after so much real time without a request and without a job.")
    ] = None,
) -> None:
    """Serve a SageMaker on this machine that behaves like Spot, until SIGTERM or Ctrl-C.

    Its jobs wait for capacity, are interrupted, resume from what was synced, and are billed, in a market time as fast as you like. The
    training is real: real processes, by SageMaker's own training toolkit, on this machine, with its Python. Point AWS_ENDPOINT_URL at it.

    Example: nightspot emulate sagemaker --port 4570 --market generator:7 --time-scale 240
    """
    _refuse(service, time_scale)
    given = Settings(state or Path(".nightspot-emulator"), port, time_scale, anchor_market_utc, anchor_real_utc)
    given = _with_pools(given, market or (), quota or (), spot_factor or ())
    given = _with_spans(given, start_delay, download_delay, upload_delay, sync_every, idle_exit)
    _serve(replace(given, faults=options.faults(faults)))


def _refuse(service: str, time_scale: float) -> None:
    if service not in SERVICES:
        raise EmulatorOptionError(f"there is no emulator of {service!r}, only of sagemaker")
    if not SLOWEST <= time_scale <= FASTEST:
        raise EmulatorOptionError(f"--time-scale {time_scale}: expected a number from {SLOWEST} to {FASTEST}")


def _with_pools(given: Settings, market: Iterable[str], quota: Iterable[str], factor: Iterable[str]) -> Settings:
    spot, single = options.markets(market)
    everywhere, factors = options.factors(factor)
    return replace(
        given,
        spot=spot,
        markets=single,
        quotas=options.quotas(quota),
        spot_factor=given.spot_factor if everywhere is None else everywhere,
        spot_factors=factors,
    )


def _with_spans(
    given: Settings, start: str, download: str, upload: str, sync_every: str, idle_exit: str | None
) -> Settings:
    delays = Delays(
        options.duration("--start-delay", start),
        options.duration("--download-delay", download),
        options.duration("--upload-delay", upload),
    )
    idle_s = 0.0 if idle_exit is None else options.duration("--idle-exit", idle_exit)
    sync_s = options.interval("--sync-every", sync_every)
    return replace(given, delays=delays, sync_s=sync_s, idle_exit_real_s=idle_s)


def _serve(settings: Settings) -> None:
    motoside.refuse_if_missing()
    missing = what_is_missing()
    if missing is not None:
        raise EmulatorError(missing)
    server, factory = _heavy()
    server.serve(settings, factory.machines, lambda endpoint_url: print(f"ready {endpoint_url}", flush=True))  # noqa: T201


def _heavy() -> tuple[Any, Any]:
    """What needs the extra is imported only by whoever asks for it."""
    from nightspot.emulator import factory, server

    return server, factory
