"""What capacity costs. Prices are USD for one hour of a whole Attempt, all its instances; spans are market seconds."""

from __future__ import annotations

HOUR_S = 3600.0


def cost_usd(billable_s: float, price_usd_per_hour: float) -> float:
    """USD for that many billable seconds."""
    return billable_s / HOUR_S * price_usd_per_hour


def on_demand_s(work_s: float, lead_s: float, speed: float = 1.0) -> float:
    """Billable seconds of a night wholly on on-demand: one start-up, then the work. `work_s` is at speed 1, `lead_s` as the clock runs."""
    return lead_s + work_s / speed


def on_demand_cost_usd(work_s: float, lead_s: float, price_usd_per_hour: float, speed: float = 1.0) -> float:
    """USD for a night wholly on on-demand: what a saving is measured against."""
    return cost_usd(on_demand_s(work_s, lead_s, speed), price_usd_per_hour)


def saving(paid_usd: float, against_usd: float) -> float:
    """The share saved: 0.7 is 70 %; negative where it was dearer; 0 where there was nothing to pay."""
    return 1.0 - paid_usd / against_usd if against_usd > 0 else 0.0
