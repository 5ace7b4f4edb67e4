import pytest

from chatops.errors import ConfigurationError
from chatops.mqtt.endpoint import gateway_address


def test_a_name_of_aws_is_reached_over_tls() -> None:
    address = gateway_address("abc123-ats.iot.eu-west-1.amazonaws.com")
    assert (address.port, address.tls) == (443, True)
    assert address.url == "wss://abc123-ats.iot.eu-west-1.amazonaws.com/mqtt"


@pytest.mark.parametrize("name", ["127.0.0.1:4567", "localhost:4567", "[::1]:4567"])
def test_a_loopback_name_is_the_local_stacks(name: str) -> None:
    address = gateway_address(name)
    assert (address.port, address.tls) == (4567, False)
    assert address.url == f"ws://{name}/mqtt"


def test_an_override_wins() -> None:
    address = gateway_address("abc.example.com", "wss://127.0.0.1:8443/mqtt")
    assert (address.host, address.port, address.tls) == ("127.0.0.1", 8443, True)


def test_an_unencrypted_gateway_off_this_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        gateway_address("x", "ws://chat.example.com/mqtt")


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("", None),
        ("a/b", None),
        ("a:port", None),
        ("a:99999", None),
        ("user@host", None),
        ("x", "http://127.0.0.1/"),
        ("x", "ws://"),
        ("x", "ws://[::1"),
    ],
)
def test_what_is_no_address_is_refused(name: str, override: str | None) -> None:
    with pytest.raises(ConfigurationError):
        gateway_address(name, override)
