"""The Service Quotas API, answered from the numbers by which CreateTrainingJob refuses."""

from __future__ import annotations

import hashlib
from typing import Any, Iterator, Mapping

from nightspot.emulator.errors import ApiError
from nightspot.emulator.jobs import quota_name
from nightspot.emulator.pages import page
from nightspot.emulator.settings import ACCOUNT, Settings
from nightspot.emulator.shapes import service_model
from nightspot.model.capacity import Market

Answer = dict[str, Any]
Asked = Mapping[str, Any]
SERVICE = "sagemaker"
MOST = 100


class Quotas:
    """Spot and on-demand training quotas of every instance type that the API model knows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def list_service_quotas(self, region: str, asked: Asked) -> Answer:
        """In pages, in the order of their names."""
        _refuse_other_services(asked)
        wanted = asked.get("QuotaCode")
        found = [quota for quota in self._all(region) if wanted in (None, quota["QuotaCode"])]
        shown = page(found, lambda q: (q["QuotaName"], ""), asked.get("MaxResults", MOST), asked.get("NextToken"))
        return {"Quotas": shown.items, "NextToken": shown.next_token}

    # There are no other numbers here than those applied.
    list_aws_default_service_quotas = list_service_quotas

    def get_service_quota(self, region: str, asked: Asked) -> Answer:
        """One, by its code."""
        _refuse_other_services(asked)
        for quota in self._all(region):
            if quota["QuotaCode"] == asked["QuotaCode"]:
                return {"Quota": quota}
        raise ApiError("NoSuchResourceException", "The request failed because the specified quota does not exist.")

    get_aws_default_service_quota = get_service_quota

    def list_services(self, _region: str, _asked: Asked) -> Answer:
        """The one that has quotas here."""
        return {"Services": [{"ServiceCode": SERVICE, "ServiceName": "Amazon SageMaker"}]}

    def _all(self, region: str) -> Iterator[Answer]:
        types = service_model("sagemaker").shape_for("TrainingInstanceType").metadata["enum"]
        for instance_type in types:
            for market in Market:
                yield self._quota(region, instance_type, market)

    def _quota(self, region: str, instance_type: str, market: Market) -> Answer:
        name = quota_name(instance_type, market)
        code = "L-" + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
        return {
            "ServiceCode": SERVICE,
            "ServiceName": "Amazon SageMaker",
            "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:{SERVICE}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(self._settings.quota(instance_type, market)),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def _refuse_other_services(asked: Asked) -> None:
    if asked["ServiceCode"] != SERVICE:
        raise ApiError("NoSuchResourceException", f"nightspot's emulator has no quotas of {asked['ServiceCode']}.")
