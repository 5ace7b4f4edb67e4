"""The quotas that a chat meets, as Service Quotas names them; data only, nothing is asked here.

Codes and defaults of `iotcore`: AWS IoT Core endpoints and quotas. Those of `cognito-identity`: rates from the Amazon
Cognito developer guide, which names no codes; these are as published lists of Service Quotas' own answers have them,
and nobody of this project has asked AWS for them yet. In smaller Regions AWS's defaults are lower (CONNECT 100/s,
inbound publishes 2,000/s); Service Quotas knows the account's own.
"""

from dataclasses import dataclass

IOT_CORE = "iotcore"
COGNITO_IDENTITY = "cognito-identity"


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota with its default; `words` are for people."""

    code: str
    words: str
    default: float
    service: str = IOT_CORE
    adjustable: bool = True


IDENTITIES = Quota("L-A38ADA84", "GetId per second", 25, COGNITO_IDENTITY)
CREDENTIALS = Quota("L-5AE9F13D", "GetCredentialsForIdentity per second", 200, COGNITO_IDENTITY)
CONNECTS = Quota("L-AEA1E176", "connects per second", 500)
SUBSCRIPTIONS = Quota("L-589D5E1D", "subscriptions per second", 500)
CONNECTIONS = Quota("L-75CAB723", "concurrent connections", 500_000)
INBOUND_PUBLISHES = Quota("L-4B33E451", "inbound publishes per second", 20_000)
OUTBOUND_PUBLISHES = Quota("L-FE4EDCF9", "outbound publishes per second", 20_000)

CONNECTION_PUBLISHES = Quota("L-083F3861", "messages per second of a connection", 100, adjustable=False)
CONNECTION_BYTES = Quota("L-D9C66F9D", "KiB per second of a connection", 512, adjustable=False)
CONNECTION_SUBSCRIPTIONS = Quota("L-45957C13", "subscriptions of a connection", 50, adjustable=False)
CONNECTION_SECONDS = Quota("L-3F401592", "seconds of a connection", 86_400, adjustable=False)
