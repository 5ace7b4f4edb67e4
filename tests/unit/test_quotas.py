import re
from typing import Any

import pytest

from chatops.local.aws_errors import ApiError
from chatops.local.quotas import ServiceQuotas

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def service() -> ServiceQuotas:
    return ServiceQuotas(account="123456789012")


def refusal(service: ServiceQuotas, operation: str, **members: Any) -> tuple[str, int]:
    with pytest.raises(ApiError) as caught:
        service.call(operation, members, REGION)
    return caught.value.code, caught.value.status


@pytest.mark.parametrize("operation", ["GetServiceQuota", "GetAWSDefaultServiceQuota"])
@pytest.mark.parametrize(
    ("service_code", "code", "value", "adjustable"),
    [
        ("iotcore", "L-AEA1E176", 500, True),
        ("iotcore", "L-033DE216", 1, False),
        ("iotcore", "L-75CAB723", 500_000, True),
        ("iotcore", "L-4B33E451", 20_000, True),
        ("iotcore", "L-FE4EDCF9", 20_000, True),
        ("iotcore", "L-083F3861", 100, False),
        ("iotcore", "L-D9C66F9D", 512, False),
        ("iotcore", "L-45957C13", 50, False),
        ("iotcore", "L-A6574E9E", 8, False),
        ("iotcore", "L-589D5E1D", 500, True),
        ("iotcore", "L-8736D8E0", 100, False),
        ("iotcore", "L-0DD80F19", 100, False),
        ("iotcore", "L-13573643", 128, False),
        ("iotcore", "L-ECD9BEEF", 256, False),
        ("iotcore", "L-AD5A8D4F", 7, False),
        ("iotcore", "L-E2D9C89C", 128, False),
        ("iotcore", "L-E77027EF", 1200, False),
        ("iotcore", "L-3F401592", 86_400, False),
        ("cognito-identity", "L-A38ADA84", 25, True),
        ("cognito-identity", "L-5AE9F13D", 200, True),
    ],
)
def test_defaults_are_those_of_aws(
    service: ServiceQuotas,
    operation: str,
    service_code: str,
    code: str,
    value: float,
    adjustable: bool,  # noqa: FBT001  (pytest passes parameters by name)
) -> None:
    found = service.call(operation, {"ServiceCode": service_code, "QuotaCode": code}, REGION)["Quota"]
    assert (found["QuotaCode"], found["Value"], found["Adjustable"]) == (code, value, adjustable)
    assert found["QuotaArn"] == f"arn:aws:servicequotas:{REGION}:123456789012:{service_code}/{code}"


def test_quotas_are_listed_in_pages(service: ServiceQuotas) -> None:
    whole = service.call("ListServiceQuotas", {"ServiceCode": "iotcore"}, REGION)
    assert "NextToken" not in whole
    assert len({each["QuotaCode"] for each in whole["Quotas"]}) == 18
    found: list[Any] = []
    members: dict[str, Any] = {"ServiceCode": "iotcore", "MaxResults": 7}
    for _ in range(3):
        page = service.call("ListAWSDefaultServiceQuotas", members, REGION)
        found += page["Quotas"]
        members["NextToken"] = page.get("NextToken")
    assert found == whole["Quotas"]
    assert members["NextToken"] is None
    assert all(re.fullmatch(r"L-[0-9A-F]{8}", each["QuotaCode"]) for each in found)


def test_one_quota_can_be_asked_for_in_a_list(service: ServiceQuotas) -> None:
    members = {"ServiceCode": "iotcore", "QuotaCode": "L-AEA1E176"}
    assert len(service.call("ListServiceQuotas", members, REGION)["Quotas"]) == 1


def test_services_are_listed(service: ServiceQuotas) -> None:
    found = service.call("ListServices", {}, REGION)["Services"]
    assert [each["ServiceCode"] for each in found] == ["cognito-identity", "iotcore"]


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("GetServiceQuota", {"ServiceCode": "iotcore", "QuotaCode": "L-00000000"}, "NoSuchResourceException"),
        ("GetServiceQuota", {"ServiceCode": "ec2", "QuotaCode": "L-AEA1E176"}, "NoSuchResourceException"),
        ("ListServiceQuotas", {"ServiceCode": "ec2"}, "NoSuchResourceException"),
        ("ListServiceQuotas", {"ServiceCode": "1"}, "ValidationException"),
        ("ListServiceQuotas", {"ServiceCode": 1}, "SerializationException"),
        ("ListServiceQuotas", {"ServiceCode": "iotcore", "MaxResults": 101}, "ValidationException"),
        ("ListServiceQuotas", {"ServiceCode": "iotcore", "NextToken": "eHh4"}, "InvalidPaginationTokenException"),
        ("ListServiceQuotas", {"ServiceCode": "iotcore", "NextToken": "abc"}, "InvalidPaginationTokenException"),
        (
            "RequestServiceQuotaIncrease",
            {"ServiceCode": "iotcore", "QuotaCode": "L-AEA1E176", "DesiredValue": 1000.0},
            "AccessDeniedException",
        ),
        (
            "RequestServiceQuotaIncrease",
            {"ServiceCode": "iotcore", "QuotaCode": "L-00000000", "DesiredValue": 1},
            "NoSuchResourceException",
        ),
        ("Nothing", {}, "UnknownOperationException"),
    ],
)
def test_what_is_not_there_is_refused(
    service: ServiceQuotas, operation: str, members: dict[str, Any], code: str
) -> None:
    assert refusal(service, operation, **members) == (code, 400)


def test_other_operations_are_not_part_of_the_stack(service: ServiceQuotas) -> None:
    assert refusal(service, "ListTagsForResource", ResourceARN="x") == ("NotImplementedException", 501)
