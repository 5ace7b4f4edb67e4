"""SigV4 for the WebSocket handshake with AWS IoT Core.

The service name is `iotdevicegateway`, the signature goes into the query, and the session token is appended after
signing. Every handshake is signed afresh, so that a reconnect never reuses a stale signature.
"""

from collections.abc import Callable
from typing import Any, Protocol

from awscrt import auth


class Keys(Protocol):
    """Whatever holds AWS credentials: a guest's, or an operator's."""

    @property
    def access_key_id(self) -> str:
        """`AKIA…` for lasting keys, `ASIA…` for temporary ones."""

    @property
    def secret_access_key(self) -> str:
        """The secret, never shown."""

    @property
    def session_token(self) -> str | None:
        """Comes with temporary keys."""


def handshake_signer(region: str, keys: Callable[[], Keys]) -> Callable[..., None]:
    """Make the transform that signs each WebSocket handshake of an awscrt MQTT client.

    Args:
        region: the gateway's region.
        keys: called at each handshake, on one of awscrt's threads; it must not block.
    """

    # awscrt calls this with the keyword `transform_args`: the parameter's name is part of its interface.
    def sign(transform_args: Any) -> None:
        try:
            current = keys()
            provider = auth.AwsCredentialsProvider.new_static(
                current.access_key_id, current.secret_access_key, current.session_token
            )
            config = auth.AwsSigningConfig(
                algorithm=auth.AwsSigningAlgorithm.V4,
                signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
                credentials_provider=provider,
                region=region,
                service="iotdevicegateway",
                omit_session_token=True,
            )
            future = auth.aws_sign_request(transform_args.http_request, config)
            future.add_done_callback(lambda done: transform_args.set_done(done.exception()))
        except Exception as error:  # noqa: BLE001  (awscrt swallows exceptions here: hand it over instead)
            transform_args.set_done(error)

    return sign
