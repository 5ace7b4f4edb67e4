"""Reading an account's quotas: what Service Quotas does not say is left out, and who may not ask does not ask on."""

from collections.abc import Mapping
from typing import Any

import pytest

from chatops.aws import quota_codes as codes
from chatops.aws.quotas import current, known
from chatops.errors import ChatopsError, ConnectionFailedError, NotAuthorisedError, NotFoundError
from chatops.local.quotas import ServiceQuotas


class Account:
    """Answers as Service Quotas does, and remembers what it was asked."""

    def __init__(self, values: Mapping[str, float | ChatopsError]) -> None:
        self._values = values
        self.asked: list[tuple[str, str]] = []

    def call(self, service: str, operation: str, **request: str) -> dict[str, Any]:
        assert (service, operation) == ("service-quotas", "get_service_quota")
        self.asked.append((request["ServiceCode"], request["QuotaCode"]))
        found = self._values.get(request["QuotaCode"], NotFoundError("no such quota", "look again"))
        if isinstance(found, ChatopsError):
            raise found
        return {"Quota": {"Value": found}}


QUOTAS = {"connects": codes.CONNECTS, "identities": codes.IDENTITIES, "connections": codes.CONNECTIONS}


def test_each_quota_is_asked_for_in_its_own_service_and_missing_ones_are_left_out() -> None:
    account = Account({"L-AEA1E176": 900.0, "L-75CAB723": 1e6})
    assert known(account, QUOTAS) == {"connects": 900.0, "connections": 1e6}
    assert account.asked == [("iotcore", "L-AEA1E176"), ("cognito-identity", "L-A38ADA84"), ("iotcore", "L-75CAB723")]


@pytest.mark.parametrize("error", [NotAuthorisedError("no", "ask"), ConnectionFailedError("nobody there", "wait")])
def test_who_may_or_can_not_ask_asks_once(error: ChatopsError) -> None:
    account = Account({"L-AEA1E176": error, "L-75CAB723": 1e6})
    assert known(account, QUOTAS) == {}
    assert len(account.asked) == 1
    assert current(account, codes.CONNECTS) == 500


def test_codes_and_defaults_are_those_that_the_local_stack_tells() -> None:
    stack = ServiceQuotas(account="123456789012")
    quotas = [quota for quota in vars(codes).values() if isinstance(quota, codes.Quota)]
    assert len(quotas) == 11
    for quota in quotas:
        members = {"ServiceCode": quota.service, "QuotaCode": quota.code}
        found = stack.call("GetAWSDefaultServiceQuota", members, "eu-west-1")["Quota"]
        assert (found["Value"], found["Adjustable"]) == (quota.default, quota.adjustable)
