"""The HTTP headers that the page is served with, locally and published: one table for both."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from chatops.environment import Environment
from chatops.mqtt.endpoint import gateway_address
from chatops.mqtt.guests import cognito_endpoint

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"


def addresses(environment: Environment, variables: Mapping[str, str]) -> tuple[str, str]:
    """Cognito's URL and the gateway's, as a guest's browser reaches them.

    Args:
        variables: the process's environment variables, which may override AWS's endpoints.

    Raises:
        ConfigurationError: the gateway's name or URL cannot be read.
    """
    cognito = (
        environment.endpoints.get("cognito-identity")
        or environment.endpoints.get("aws")
        or variables.get("AWS_ENDPOINT_URL_COGNITO_IDENTITY")
        or variables.get("AWS_ENDPOINT_URL")
        or cognito_endpoint(environment.region)
    )
    gateway = gateway_address(environment.gateway, environment.endpoints.get("gateway"))
    return cognito.rstrip("/") + "/", gateway.url


def content_security_policy(cognito: str, gateway: str) -> str:
    """The policy for a page that loads its own files and talks to AWS, and nothing else.

    It is in a `meta` element as well, for hosts that cannot set headers; `frame-ancestors` works in a header only.
    """
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {_origin(cognito)} {_origin(gateway)}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def security_headers(policy: str) -> dict[str, str]:
    """What every answer carries."""
    return {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }


def content_type(path: str) -> str:
    """The media type of one of the page's files."""
    return _TYPES[path[path.rindex(".") :]]


def cache_control(path: str) -> str:
    """Files that are named by their contents never change; all others are asked for each time."""
    return _FOR_EVER if path.startswith("assets/") else _ASK_FIRST


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
