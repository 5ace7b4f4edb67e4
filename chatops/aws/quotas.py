"""Service Quotas of AWS IoT Core: the account's own where it may be asked, AWS's defaults otherwise.

Codes and defaults: AWS IoT Core endpoints and quotas (service code `iotcore`).
"""

from dataclasses import dataclass

from chatops.aws.session import Aws
from chatops.errors import ConnectionFailedError, NotAuthorisedError, NotFoundError

SERVICE = "iotcore"


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota with its default."""

    code: str
    words: str
    default: float


CONNECTIONS = Quota("L-75CAB723", "concurrent connections", 500_000)
INBOUND_PUBLISHES = Quota("L-4B33E451", "inbound publishes per second", 20_000)
OUTBOUND_PUBLISHES = Quota("L-FE4EDCF9", "outbound publishes per second", 20_000)


def current(aws: Aws, quota: Quota) -> float:
    """The account's value of a quota; the default where it may not be asked or is not known."""
    try:
        answer = aws.call("service-quotas", "get_service_quota", ServiceCode=SERVICE, QuotaCode=quota.code)
    except (NotAuthorisedError, NotFoundError, ConnectionFailedError):
        return quota.default
    return float(answer["Quota"]["Value"])
