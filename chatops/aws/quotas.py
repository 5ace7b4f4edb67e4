"""Service Quotas: the account's own values where they may be asked for, AWS's defaults otherwise."""

from collections.abc import Mapping

from chatops.aws.quota_codes import CONNECTIONS, INBOUND_PUBLISHES, OUTBOUND_PUBLISHES, Quota
from chatops.aws.session import Aws
from chatops.errors import ConnectionFailedError, NotAuthorisedError, NotFoundError

__all__ = ["CONNECTIONS", "INBOUND_PUBLISHES", "OUTBOUND_PUBLISHES", "Quota", "current", "known"]


def current(aws: Aws, quota: Quota) -> float:
    """The account's value of a quota; the default where it may not be asked or is not known."""
    return known(aws, {"": quota}).get("", quota.default)


def known(aws: Aws, quotas: Mapping[str, Quota]) -> dict[str, float]:
    """The account's values, by the names given; those that Service Quotas does not say are left out.

    Where it cannot be reached or may not be asked, it is not asked again for the others.
    """
    found: dict[str, float] = {}
    for name, quota in quotas.items():
        try:
            answer = aws.call("service-quotas", "get_service_quota", ServiceCode=quota.service, QuotaCode=quota.code)
        except NotFoundError:
            continue
        except (NotAuthorisedError, ConnectionFailedError):
            break
        found[name] = float(answer["Quota"]["Value"])
    return found
