"""Service Quotas for the two services whose quotas a chat meets first: AWS IoT Core and Cognito identity pools.

Values are AWS's defaults. They are what `--quotas aws` enforces; nothing here can be raised.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatops.local.aws_errors import ApiError, Protocol, not_in_the_local_stack
from chatops.local.shapes import ServiceShapes, load_model

TARGET_PREFIX = "ServiceQuotasV20190624"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota with AWS's default value; `period` is the unit of time of a rate."""

    code: str
    name: str
    value: float
    adjustable: bool = False
    unit: str = "None"
    period: str | None = None


_SERVICES: Mapping[str, tuple[str, tuple[Quota, ...]]] = {
    "cognito-identity": (
        "Amazon Cognito Federated Identities",
        (
            Quota("L-5AE9F13D", "Rate of GetCredentialsForIdentity requests", 200, adjustable=True, period="SECOND"),
            Quota("L-A38ADA84", "Rate of GetId requests", 25, adjustable=True, period="SECOND"),
            Quota("L-DBF99350", "Rate of ListIdentities requests", 5, adjustable=True, period="SECOND"),
            Quota("L-E97D135E", "Rate of GetOpenIdToken requests", 200, adjustable=True, period="SECOND"),
        ),
    ),
    "iotcore": (
        "AWS IoT Core",
        (
            Quota("L-033DE216", "Connect requests per second per client ID", 1, period="SECOND"),
            Quota("L-083F3861", "Publish requests per second per connection", 100, period="SECOND"),
            Quota("L-0DD80F19", "Maximum outbound unacknowledged QoS 1 publish requests", 100),
            Quota("L-13573643", "MQTT payload size", 128, unit="Kilobytes"),
            Quota("L-3F401592", "WebSocket connection duration", 86_400, unit="Seconds"),
            Quota("L-45957C13", "Subscriptions per connection", 50),
            Quota(
                "L-4B33E451",
                "Inbound publish requests per second per account",
                20_000,
                adjustable=True,
                period="SECOND",
            ),
            Quota("L-589D5E1D", "Subscriptions per second per account", 500, adjustable=True, period="SECOND"),
            Quota("L-75CAB723", "Maximum concurrent client connections per account", 500_000, adjustable=True),
            Quota("L-8736D8E0", "Maximum inbound unacknowledged QoS 1 publish requests", 100),
            Quota("L-A6574E9E", "Maximum subscriptions per subscribe request", 8),
            Quota("L-AD5A8D4F", "Maximum number of slashes in topic and topic filter", 7),
            Quota("L-AEA1E176", "Connect requests per second per account", 500, adjustable=True, period="SECOND"),
            Quota("L-D9C66F9D", "Throughput per second per connection", 512, unit="Kilobytes", period="SECOND"),
            Quota("L-E2D9C89C", "Client ID size", 128, unit="Bytes"),
            Quota("L-E77027EF", "Connection inactivity (keep-alive interval)", 1200, unit="Seconds"),
            Quota("L-ECD9BEEF", "Topic size", 256, unit="Bytes"),
            Quota(
                "L-FE4EDCF9",
                "Outbound publish requests per second per account",
                20_000,
                adjustable=True,
                period="SECOND",
            ),
        ),
    ),
}


class ServiceQuotas:
    """The service.

    Args:
        account: the account that quotas are stated for.
    """

    def __init__(self, *, account: str) -> None:
        self._account = account
        self._shapes = ServiceShapes(load_model("service-quotas"))
        self._operations: Mapping[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
            "GetAWSDefaultServiceQuota": self._get,
            "GetServiceQuota": self._get,
            "ListAWSDefaultServiceQuotas": self._list,
            "ListServiceQuotas": self._list,
            "ListServices": self._list_services,
            "RequestServiceQuotaIncrease": self._request_increase,
        }

    def call(self, operation: str, members: Mapping[str, Any], region: str) -> dict[str, Any]:
        """Carry an operation out.

        Args:
            operation: its name, such as `GetServiceQuota`.
            members: the request's JSON object, unchecked.
            region: the region of the credential scope.

        Raises:
            ApiError: as the service would refuse.
        """
        handler = self._operations.get(operation)
        if handler is None:
            if operation in self._shapes.operations:
                raise not_in_the_local_stack(f"service-quotas {operation}", Protocol.JSON)
            raise ApiError("UnknownOperationException", f"service-quotas has no operation {operation[:64]!r}")
        return handler(self._shapes.check(operation, members), region)

    def _get(self, members: dict[str, Any], region: str) -> dict[str, Any]:
        _, quotas = _service(members["ServiceCode"])
        code = members["QuotaCode"]
        for quota in quotas:
            if quota.code == code:
                return {"Quota": self._described(members["ServiceCode"], quota, region)}
        raise ApiError("NoSuchResourceException", f"The local stack has no quota {code} of {members['ServiceCode']}.")

    def _list(self, members: dict[str, Any], region: str) -> dict[str, Any]:
        service = members["ServiceCode"]
        _, quotas = _service(service)
        wanted = members.get("QuotaCode")
        chosen = [quota for quota in quotas if wanted in {None, quota.code}]
        page, token = _page(chosen, members)
        answer: dict[str, Any] = {"Quotas": [self._described(service, quota, region) for quota in page]}
        return answer | token

    @staticmethod
    def _list_services(members: dict[str, Any], _: str) -> dict[str, Any]:
        services = [{"ServiceCode": code, "ServiceName": name} for code, (name, _quotas) in _SERVICES.items()]
        page, token = _page(services, members)
        answer: dict[str, Any] = {"Services": page}
        return answer | token

    def _request_increase(self, members: dict[str, Any], region: str) -> dict[str, Any]:
        self._get(members, region)
        raise ApiError("AccessDeniedException", "Quotas of the local stack cannot be raised.")

    def _described(self, service: str, quota: Quota, region: str) -> dict[str, Any]:
        name, _ = _SERVICES[service]
        described: dict[str, Any] = {
            "ServiceCode": service,
            "ServiceName": name,
            "QuotaArn": f"arn:aws:servicequotas:{region}:{self._account}:{service}/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(quota.value),
            "Unit": quota.unit,
            "Adjustable": quota.adjustable,
            "GlobalQuota": False,
            "QuotaAppliedAtLevel": "ACCOUNT",
        }
        if quota.period is not None:
            described["Period"] = {"PeriodValue": 1, "PeriodUnit": quota.period}
        return described


def _service(code: str) -> tuple[str, tuple[Quota, ...]]:
    found = _SERVICES.get(code)
    if found is None:
        known = " and ".join(_SERVICES)
        raise ApiError("NoSuchResourceException", f"The local stack knows the quotas of {known}, not of {code}.")
    return found


def _page(items: Sequence[Any], members: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    start = _offset(members.get("NextToken"))
    end = start + int(members.get("MaxResults", _PAGE))
    token = {"NextToken": base64.b64encode(f"{end}".encode()).decode()} if end < len(items) else {}
    return list(items[start:end]), token


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        text = base64.b64decode(token, validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    if not text.isdecimal() or len(text) > 6:
        raise ApiError("InvalidPaginationTokenException", "Invalid token was provided.")
    return int(text)
