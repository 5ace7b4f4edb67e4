import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops import environment
from chatops.environment import Environment
from chatops.errors import ConfigurationError, ExitCode

POOL = "eu-west-1:7b0cb1f2-1111-4222-8333-444455556666"
MINIMAL = {"iotGatewayName": "abc123-ats.iot.eu-west-1.amazonaws.com", "cognitoIdentityPoolId": POOL}


def parse(document: object) -> Environment:
    return environment.parse(json.dumps(document).encode(), name="dev", where="env/dev.json")


def refusal(document: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse(document)
    assert caught.value.code is ExitCode.CONFIGURATION
    return caught.value


def test_the_two_keys_of_the_original_are_enough() -> None:
    found = parse(MINIMAL)
    assert found.gateway == MINIMAL["iotGatewayName"]
    assert found.identity_pool_id == POOL
    assert found.region == "eu-west-1"
    assert found.topic_prefix == "/chat/"


def test_a_file_survives_saving_and_loading(tmp_path: Path) -> None:
    full = parse(
        {
            **MINIMAL,
            "topicPrefix": "/talk/",
            "title": "Unser Chat ☕",
            "rooms": ["lobby", "/talk/games/chess"],
            "endpoints": {"aws": "http://127.0.0.1:4566"},
            "site": {"url": "https://chat.example"},
            "managed": {"account": "123456789012"},
        }
    )
    path = environment.save(tmp_path / "new", full)
    assert environment.load(tmp_path / "new", "dev") == full
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["dev.json"]
    assert environment.names_in(tmp_path / "new") == ["dev"]


def test_short_room_names_become_topics_under_the_prefix() -> None:
    assert parse({**MINIMAL, "rooms": ["lobby"]}).rooms == ("/chat/lobby",)


def test_a_half_written_file_is_refused_with_line_and_column() -> None:
    with pytest.raises(ConfigurationError) as caught:
        environment.parse(b'{\n  "iotGatewayName": "abc",\n  "cogni', name="dev", where="env/dev.json")
    assert "line 3, column 3" in caught.value.problem
    assert "env/dev.json" in caught.value.problem


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    error = refusal({**MINIMAL, "topicPrefx": "/chat/"})
    assert "'topicPrefx'" in error.problem
    assert "'topicPrefix'" in error.remedy
    nested = refusal({**MINIMAL, "endpoints": {"iot_data": "http://127.0.0.1:1"}})
    assert "'iot-data'" in nested.remedy


def test_a_region_that_is_not_the_pools_is_refused() -> None:
    assert "us-east-1" in refusal({**MINIMAL, "region": "us-east-1"}).problem


@pytest.mark.parametrize(
    "broken",
    [
        [],
        "text",
        None,
        {},
        {"iotGatewayName": "x"},
        {**MINIMAL, "cognitoIdentityPoolId": "not-a-pool"},
        {**MINIMAL, "iotGatewayName": ""},
        {**MINIMAL, "iotGatewayName": 5},
        {**MINIMAL, "iotGatewayName": "a\x1b[31mb"},
        {**MINIMAL, "rooms": "lobby"},
        {**MINIMAL, "rooms": ["/other/lobby"]},
        {**MINIMAL, "rooms": ["#"]},
        {**MINIMAL, "topicPrefix": "chat"},
        {**MINIMAL, "topicPrefix": "$aws/"},
        {**MINIMAL, "topicPrefix": "/chat/*/"},
        {**MINIMAL, "endpoints": []},
        {**MINIMAL, "site": {"url": None}},
    ],
)
def test_wrong_values_are_refused(broken: object) -> None:
    error = refusal(broken)
    assert error.problem
    assert error.remedy


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        environment.parse(b'{"title": "a", "title": "b"}', name="dev", where="dev.json")


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    with pytest.raises(ConfigurationError):
        environment.parse(raw, name="dev", where="dev.json")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        environment.parse(b"[" * 100_000, name="dev", where="dev.json")


def test_an_unknown_environment_lists_the_known_ones(tmp_path: Path) -> None:
    environment.save(tmp_path, parse(MINIMAL))
    with pytest.raises(ConfigurationError) as caught:
        environment.load(tmp_path, "production")
    assert "'production'" in caught.value.problem
    assert "dev" in caught.value.problem


@pytest.mark.parametrize("name", ["", "..", "a/b", "../up", "a" * 41, "-x", "a b", "ä"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        environment.check_name(name)


def test_a_folder_that_cannot_be_written_is_an_error_of_two_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        environment.save(tmp_path / "file" / "env", parse(MINIMAL))


def test_a_failed_save_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.save(tmp_path, parse(MINIMAL))
    before = (tmp_path / "dev.json").read_bytes()

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ConfigurationError, match="No space left"):
        environment.save(tmp_path, parse({**MINIMAL, "title": "new"}))
    assert (tmp_path / "dev.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["dev.json"]
