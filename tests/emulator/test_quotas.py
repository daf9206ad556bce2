"""Quotas: what the Service Quotas API says is what CreateTrainingJob refuses by."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightspot.model.capacity import Market
from tests.emulator.stage import stage

G5, G6 = "ml.g5.xlarge", "ml.g6.xlarge"
SPOT_NAME = "ml.g5.xlarge for spot training job usage"


def test_beyond_its_quota_a_job_is_refused_and_a_finished_one_makes_room(tmp_path: Path) -> None:
    with stage(tmp_path, quotas={(G5, Market.SPOT): 1, (G6, Market.SPOT): 0}) as at:
        refusal = at.client().exceptions.ResourceLimitExceeded
        at.create("one", spot=True)
        with pytest.raises(
            refusal, match=r"'ml.g5.xlarge for spot training job usage' is 1 Instances, with current util"
        ):
            at.create("two", spot=True)
        with pytest.raises(refusal):
            at.create("none", spot=True, instance_type=G6)
        at.create("on-demand-is-another-quota", instance_type=G6)
        at.until("one", "Training")
        at.fleet.of("one")[0].code = 0
        at.over("one")
        at.create("two", spot=True)


def test_a_job_with_preferences_counts_for_all_of_them_until_one_is_selected(tmp_path: Path) -> None:
    preferences = {"InstancePreferences": [{"InstanceType": name} for name in (G5, G6)], "InstanceCount": 1}
    with stage(tmp_path, quotas={(G5, Market.ON_DEMAND): 1, (G6, Market.ON_DEMAND): 1}) as at:
        at.create("choosy", ResourceConfig=preferences)
        with pytest.raises(at.client().exceptions.ResourceLimitExceeded):
            at.create("second", ResourceConfig=preferences)
        at.until("choosy", "Training")
        at.create("other", instance_type=G6)


def test_the_api_of_quotas_tells_the_same_numbers(tmp_path: Path) -> None:
    with stage(tmp_path, quotas={(G5, Market.SPOT): 2}, default_quota=7) as at:
        api = at.client("service-quotas")
        pages = api.get_paginator("list_service_quotas").paginate(
            ServiceCode="sagemaker", PaginationConfig={"PageSize": 90}
        )
        quotas = {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}
        assert quotas[SPOT_NAME]["Value"] == 2.0
        assert quotas["ml.g5.xlarge for training job usage"]["Value"] == 7.0
        types = at.client().meta.service_model.shape_for("TrainingInstanceType").enum
        assert len(quotas) == 2 * len(types)
        assert len({quota["QuotaCode"] for quota in quotas.values()}) == len(quotas)
        code = quotas[SPOT_NAME]["QuotaCode"]
        one = api.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]
        assert one == quotas[SPOT_NAME]
        defaults = api.list_aws_default_service_quotas(ServiceCode="sagemaker", MaxResults=1)
        assert len(defaults["Quotas"]) == 1
        assert defaults["NextToken"]
        with pytest.raises(api.exceptions.NoSuchResourceException):
            api.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-NONE")
        with pytest.raises(api.exceptions.NoSuchResourceException):
            api.list_service_quotas(ServiceCode="ec2")
