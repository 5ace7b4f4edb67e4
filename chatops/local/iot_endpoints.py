"""iot DescribeEndpoint, with answers that stay the same: moto makes up a new host at each call."""

import hashlib

from chatops.local.aws_errors import ApiError

_ELSEWHERE = {"iot:CredentialProvider": "credentials.iot", "iot:Jobs": "jobs.iot"}


def describe_endpoint(endpoint_type: str | None, *, account: str, region: str, gateway: str) -> dict[str, str]:
    """Answer DescribeEndpoint.

    Both data endpoints, `iot:Data-ATS` and the legacy default `iot:Data`, are the gateway. The other types name a
    host as AWS would, which does not exist.

    Args:
        endpoint_type: as requested, None when it was left out.
        account: whose endpoint, part of the made-up names.
        region: likewise.
        gateway: `host:port` of the gateway.

    Raises:
        ApiError: there is no such type.
    """
    wanted = endpoint_type or "iot:Data"
    if wanted in {"iot:Data-ATS", "iot:Data"}:
        return {"endpointAddress": gateway}
    if wanted not in _ELSEWHERE:
        raise ApiError("InvalidRequestException", f"{wanted[:64]!r} is not an endpoint type")
    prefix = hashlib.sha256(f"{account}/{region}".encode()).hexdigest()[:13]
    return {"endpointAddress": f"c{prefix}.{_ELSEWHERE[wanted]}.{region}.amazonaws.com"}
