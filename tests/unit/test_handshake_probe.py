"""The packets that a connection by hand sends and reads."""

import pytest

from chatops.local.packets import body_bounds
from chatops.local.packets5 import Codec5
from chatops.mqtt.handshake_probe import accepted, connect_packet


@pytest.mark.parametrize("client_id", ["a", "us-east-1:" + "0" * 36 + "-probe", "x" * 128, "ü" * 60])
def test_the_gateway_reads_the_connect_packet(client_id: str) -> None:
    packet = connect_packet(client_id)
    bounds = body_bounds(packet, 0, 1 << 16)
    assert bounds is not None
    assert bounds[1] == len(packet)
    found = Codec5().connect(packet, *bounds)
    assert (found.client_id, found.clean_start, found.keep_alive_s, found.will) == (client_id, True, 30, None)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x20\x03\x00\x00\x00", True),
        (b"\x20\x03\x00\x87\x00", False),
        (b"\x20\x02\x00\x00", True),
        (b"\x20\x82\x01\x00\x00" + b"\x00" * 129, True),
        (b"\x20\x82\x01\x00\x97" + b"\x00" * 129, False),
        (b"\x20", False),
        (b"\x20\x03", False),
        (b"\x20\x03\x00", False),
        (b"\x30\x03\x00\x00\x00", False),
        (b"\x20\xff\xff\xff\xff\xff\xff", False),
        (b"", False),
    ],
)
def test_only_a_connack_with_reason_0_lets_in(packet: bytes, *, expected: bool) -> None:
    assert accepted(packet) is expected
