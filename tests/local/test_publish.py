"""Publishing the page, through real HTTP, with a proxy in between that fails on demand."""

import json
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chatops.aws import cloudfront, cognito, hosting, iam
from chatops.aws.cloudfront import NamedKind
from chatops.infra.permissions import ALWAYS_ALLOWED, COMMANDS, IMPLIED, RARE
from tests.local.cli import Finished, assert_two_line_error, chatops
from tests.local.harness import RunningStack
from tests.local.shell import Shell, writes
from tests.local.test_site import get

ACCOUNT = "123456789012"
SetUp = Callable[[str], None]


@pytest.fixture
def set_up(shell: Shell, stack: RunningStack) -> SetUp:
    """As `setup` does, without the time that a command takes to start."""

    def carry_out(name: str) -> None:
        stack.set_up(shell.folder / "env", name, shell.proxy.url)

    return carry_out


def publish(shell: Shell, name: str, *options: str) -> Finished:
    return shell("site", "publish", "--env", name, "--yes", *options)


def published(shell: Shell, name: str, *options: str) -> str:
    done = publish(shell, name, *options)
    assert done.code == 0, done.stderr
    return done.stdout.strip()


def left_of(stack: RunningStack, name: str) -> list[str]:
    """Whatever of a page there still is in the account."""
    aws = stack.aws()
    buckets = [b["Name"] for b in aws.call("s3", "list_buckets")["Buckets"] if f"chatops-{name}-" in b["Name"]]
    found = aws.call("cloudfront", "list_distributions")["DistributionList"].get("Items", [])
    controls = aws.call("cloudfront", "list_origin_access_controls")["OriginAccessControlList"].get("Items", [])
    policies = aws.call("cloudfront", "list_response_headers_policies")["ResponseHeadersPolicyList"].get("Items", [])
    named = [*(d["Comment"] for d in found), *(c["Name"] for c in controls)]
    named += [p["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]["Name"] for p in policies]
    return [*buckets, *(each for each in named if each.startswith(f"chatops-{name}-"))]


def test_from_nothing_to_a_page_and_to_nothing(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("page")
    url = published(shell, "page")
    found = shell.environment("page").site
    assert found["url"] == url
    status, headers, body = get(url, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"assets/" in body
    assert get(url, "/nothing")[0] == 403
    # The bucket is private: not even its own account's anonymous visitor reads it.
    assert get(stack.aws_url, f"/{found['bucket']}/index.html")[0] == 403
    verified = shell("site", "verify", url, "--env", "page")
    assert verified.code == 0, verified.stdout
    assert shell("plan", "--env", "page").code == 0
    status_of = shell("status", "--env", "page")
    assert status_of.code == 0
    assert "there    distribution" in status_of.stdout
    assert url in status_of.stdout
    doctor = shell("doctor", "--env", "page")
    assert doctor.code == 0, doctor.stdout
    torn = shell("teardown", "--env", "page", "--yes")
    assert torn.code == 0, torn.stderr
    assert "with it go its 5 files" in torn.stderr
    assert left_of(stack, "page") == []


def test_again_changes_nothing(shell: Shell, set_up: SetUp) -> None:
    set_up("again")
    url = published(shell, "again")
    shell.proxy.actions.clear()
    again = publish(shell, "again")
    assert again.code == 0
    assert "nothing was changed" in again.stderr
    assert again.stdout.strip() == url
    assert shell("setup", "--env", "again").code == 0
    assert writes(shell.proxy) == []


def test_assets_go_before_what_names_them_and_old_ones_after(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("order")
    published(shell, "order")
    bucket = shell.environment("order").site["bucket"]
    assert shell.proxy.count("cloudfront:CreateInvalidation") == 0
    shell.proxy.actions.clear()
    aws = stack.aws()
    aws.call("s3", "put_object", Bucket=bucket, Key="assets/old.js", Body=b"old")
    aws.call("s3", "put_object", Bucket=bucket, Key="robots.txt", Body=b"mine")
    assert shell("setup", "--env", "order", "--title", "Renamed", "--yes").code == 0
    # setup mends the page with it: config.json has the title, and the edge is told
    assert shell.proxy.count("cloudfront:CreateInvalidation") == 1
    order = [action for action in shell.proxy.actions if action in {"s3:PutObject", "s3:DeleteObject"}]
    assert order == ["s3:PutObject", "s3:DeleteObject"]
    keys = set(hosting.list_keys(aws, bucket))
    assert "assets/old.js" not in keys
    assert "robots.txt" in keys
    url = shell.environment("order").site["url"]
    assert json.loads(get(url, "/config.json")[2])["title"] == "Renamed"


def test_drift_is_said_and_mended(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("drift")
    url = published(shell, "drift")
    found = shell.environment("drift").site
    aws = stack.aws()
    bucket = found["bucket"]
    aws.call("s3", "delete_public_access_block", Bucket=bucket)
    aws.call("s3", "delete_bucket_policy", Bucket=bucket)
    aws.call("s3", "put_object", Bucket=bucket, Key="index.html", Body=b"defaced", ContentType="text/html")
    distribution = cloudfront.find_distribution(aws, found["distribution"])
    assert distribution is not None
    cloudfront.change_distribution(aws, distribution, {**distribution.properties(), "DefaultRootObject": "other.html"})
    policy = cloudfront.find_named(aws, NamedKind.HEADERS_POLICY, bucket)
    assert policy is not None
    by_hand = cloudfront.headers_config(bucket, "by hand", {})
    cloudfront.put_named(aws, NamedKind.HEADERS_POLICY, policy, by_hand)
    status = shell.document("status", "--env", "drift")
    states = {r["resource"]: r["state"] for r in status["resources"]}  # type: ignore[attr-defined]
    assert {kind for kind, state in states.items() if state != "there"} == {
        "page's bucket",
        "headers policy",
        "distribution",
        "bucket policy",
        "page's files",
    }
    assert publish(shell, "drift").code == 0
    assert shell("status", "--env", "drift").code == 0
    assert get(url, "/")[1]["X-Frame-Options"] == "DENY"


def test_it_is_found_again_without_the_file(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("lost")
    published(shell, "lost", "--bucket", "somebodys-own-bucket-name")
    (shell.folder / "env" / "lost.json").unlink()
    assert shell("setup", "--env", "lost", "--yes").code == 0
    assert shell.environment("lost").site["bucket"] == "somebodys-own-bucket-name"
    (shell.folder / "env" / "lost.json").unlink()
    assert shell("teardown", "--env", "lost", "--yes").code == 0
    assert left_of(stack, "lost") == []
    assert hosting.find_bucket(stack.aws(), "somebodys-own-bucket-name", ACCOUNT) is None


def test_a_page_follows_a_pool_that_is_made_anew(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("reborn")
    url = published(shell, "reborn")
    cognito.delete_pool(stack.aws(), shell.environment("reborn").identity_pool_id)
    mended = shell("setup", "--env", "reborn", "--yes")
    assert mended.code == 0, mended.stderr
    assert json.loads(get(url, "/config.json")[2])["identityPoolId"] == shell.environment("reborn").identity_pool_id
    assert shell("plan", "--env", "reborn").code == 0


def test_a_distribution_that_somebody_renamed_is_found_by_the_file_and_named_again(
    shell: Shell, set_up: SetUp, stack: RunningStack
) -> None:
    set_up("renamed")
    published(shell, "renamed")
    aws = stack.aws()
    found = cloudfront.find_distribution(aws, shell.environment("renamed").site["distribution"])
    assert found is not None
    cloudfront.change_distribution(aws, found, {**found.properties(), "Comment": "the old page", "Enabled": False})
    assert shell("plan", "--env", "renamed").code == 8
    published(shell, "renamed")
    assert len(list(cloudfront.find_distributions(aws, found.properties()["Comment"]))) == 1
    assert shell("plan", "--env", "renamed").code == 0


def test_what_somebody_added_to_the_distribution_stays(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("domain")
    published(shell, "domain")
    aws = stack.aws()
    identifier = shell.environment("domain").site["distribution"]
    found = cloudfront.find_distribution(aws, identifier)
    assert found is not None
    aliases = {"Quantity": 1, "Items": ["chat.example.org"]}
    config = {**found.config, "Aliases": aliases, "DefaultRootObject": "other.html"}
    aws.call("cloudfront", "update_distribution", Id=identifier, IfMatch=found.etag, DistributionConfig=config)
    assert published(shell, "domain") == "https://chat.example.org/"
    mended = cloudfront.find_distribution(aws, identifier)
    assert mended is not None
    assert mended.config["Aliases"] == aliases
    assert mended.config["DefaultRootObject"] == "index.html"


def test_a_plain_website_and_back(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("plain")
    url = published(shell, "plain", "--website")
    site = shell.environment("plain").site
    assert "distribution" not in site
    status, headers, _ = get(url, f"/{site['bucket']}/index.html")
    assert status == 200
    assert headers["Cache-Control"] == "no-cache"
    assert not [action for action in shell.proxy.actions if action.startswith("cloudfront:")]
    assert shell("plan", "--env", "plain").code == 0
    verified = shell.document("site", "verify", f"{stack.aws_url}/{site['bucket']}/index.html", "--env", "plain")
    wrong = [check["name"] for check in verified["checks"] if not check["holds"]]  # type: ignore[attr-defined]
    assert wrong == ["headers"]  # S3 cannot send them
    published(shell, "plain", "--cloudfront")
    assert get(stack.aws_url, f"/{site['bucket']}/index.html")[0] == 403
    assert shell("plan", "--env", "plain").code == 0
    published(shell, "plain", "--website")
    assert left_of(stack, "plain") == [site["bucket"]]
    assert shell("teardown", "--env", "plain", "--yes").code == 0
    assert left_of(stack, "plain") == []


def test_the_bucket_is_in_the_region_of_the_environment(shell: Shell, stack: RunningStack) -> None:
    assert shell("setup", "--env", "ireland", "--region", "eu-west-1", "--yes").code == 0
    assert get(published(shell, "ireland"), "/")[0] == 200
    bucket = shell.environment("ireland").site["bucket"]
    assert stack.aws().call("s3", "get_bucket_location", Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    assert shell("plan", "--env", "ireland").code == 0
    # a bucket elsewhere would be a bucket of another environment's, or by mistake
    stack.aws().call("s3", "create_bucket", Bucket="made-in-virginia")
    hosting.tag_bucket(stack.aws(), "made-in-virginia", {"chatops:environment": "munich", "chatops:managed": "true"})
    assert shell("setup", "--env", "munich", "--region", "eu-central-1", "--yes").code == 0
    refused = publish(shell, "munich", "--bucket", "made-in-virginia")
    assert_two_line_error(_errors(refused), 3, "is in us-east-1", "eu-central-1")


def test_after_a_teardown_the_same_name_can_be_published_again(shell: Shell, set_up: SetUp) -> None:
    for _ in range(2):
        set_up("twice")
        assert get(published(shell, "twice"), "/")[0] == 200
        assert shell("teardown", "--env", "twice", "--yes").code == 0


MAKING = [
    "iam:TagRole",
    "s3:CreateBucket",
    "s3:PutBucketTagging",
    "s3:PutBucketPublicAccessBlock",
    "cloudfront:CreateOriginAccessControl",
    "cloudfront:CreateResponseHeadersPolicy",
    "cloudfront:CreateDistribution",
    "s3:PutBucketPolicy",
    "s3:PutObject",
]
LOOKING = [
    "iam:GetRole",
    "s3:ListBucket",
    "cloudfront:ListDistributions",
    "cloudfront:ListOriginAccessControls",
    "cloudfront:ListResponseHeadersPolicies",
]


@pytest.mark.parametrize("action", [*LOOKING, *MAKING])
def test_a_denied_call_is_named_and_a_second_run_mends(
    shell: Shell, set_up: SetUp, stack: RunningStack, action: str
) -> None:
    name = f"no-{action.partition(':')[2].lower()}"
    set_up(name)
    shell.proxy.deny = action
    refused = publish(shell, name)
    assert refused.code in ({4} if action in LOOKING or action == "iam:TagRole" else {4, 7})
    assert action in refused.stderr
    assert "Traceback" not in refused.stderr
    shell.proxy.deny = None
    assert get(published(shell, name), "/")[0] == 200
    assert shell("plan", "--env", name).code == 0


@pytest.mark.parametrize("action", MAKING)
def test_what_an_interruption_leaves_is_found_and_taken_away(
    shell: Shell, set_up: SetUp, stack: RunningStack, action: str
) -> None:
    name = f"cut-{action.partition(':')[2].lower()}"
    set_up(name)
    shell.proxy.deny = action
    publish(shell, name, "--bucket", f"mine-{name}")
    shell.proxy.deny = None
    (shell.folder / "env" / f"{name}.json").unlink()  # nothing is remembered here
    torn = shell("teardown", "--env", name, "--yes")
    assert torn.code == 0, torn.stderr
    assert left_of(stack, name) == []
    assert hosting.find_bucket(stack.aws(), f"mine-{name}", ACCOUNT) is None


@pytest.mark.parametrize("action", MAKING)
def test_a_lost_answer_doubles_nothing(shell: Shell, set_up: SetUp, stack: RunningStack, action: str) -> None:
    name = f"mute-{action.partition(':')[2].lower()}"
    set_up(name)
    shell.proxy.lose = action
    assert publish(shell, name).code in {0, 5, 6, 7}
    shell.proxy.lose = None
    assert get(published(shell, name), "/")[0] == 200
    assert sorted(left_of(stack, name)) == [shell.environment(name).site["bucket"]] * 4


@pytest.mark.parametrize("action", ["s3:CreateBucket", "cloudfront:CreateDistribution", "s3:PutObject"])
def test_throttling_is_waited_out(shell: Shell, set_up: SetUp, action: str) -> None:
    name = f"slow-{action.partition(':')[2].lower()}"
    set_up(name)
    shell.proxy.throttle[action] = 2
    assert publish(shell, name).code == 0


def test_a_half_uploaded_page_shows_no_visitor_half_a_page(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("half")
    puts = 0

    def cut_short(action: str) -> None:
        nonlocal puts
        puts += action == "s3:PutObject"
        shell.proxy.deny = "s3:PutObject" if puts >= 4 else None

    shell.proxy.before = cut_short
    stopped = publish(shell, "half")
    assert stopped.code == 7
    assert "still to do: page's files" in stopped.stderr
    shell.proxy.before, shell.proxy.deny = None, None
    bucket = next(iter(left_of(stack, "half")))
    keys = set(hosting.list_keys(stack.aws(), bucket))
    assert "index.html" not in keys
    assert sum(key.startswith("assets/") for key in keys) == 3
    shell.proxy.actions.clear()
    url = published(shell, "half")
    assert shell.proxy.count("s3:PutObject") == 2
    assert get(url, "/")[0] == 200


def test_two_at_the_same_time_make_one_page(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("race")
    results: list[Finished] = []
    command = ("site", "publish", "--env", "race", "--yes")
    threads = [
        threading.Thread(target=lambda: results.append(chatops(*command, env=dict(os.environ), cwd=shell.folder)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.code for result in results} <= {0, 5, 7}, results
    assert get(published(shell, "race"), "/")[0] == 200
    assert len(left_of(stack, "race")) == 4
    assert shell("plan", "--env", "race").code == 0


def test_buckets_of_others_are_not_touched(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("polite")
    aws = stack.aws()
    aws.call("s3", "create_bucket", Bucket="of-another-team")
    aws.call("s3", "put_object", Bucket="of-another-team", Key="payroll", Body=b"1")
    refused = publish(shell, "polite", "--bucket", "of-another-team")
    assert_two_line_error(_errors(refused), 3, "of-another-team", "chatops:environment=polite")
    hosting.tag_bucket(aws, "of-another-team", {"chatops:environment": "other", "chatops:managed": "true"})
    assert_two_line_error(_errors(publish(shell, "polite", "--bucket", "of-another-team")), 3, "'other'")
    shell.proxy.deny = "s3:ListBucket"  # as S3 answers for a bucket of another account
    assert_two_line_error(_errors(publish(shell, "polite", "--bucket", "taken")), 4, "another account's", "--bucket")
    mine = publish(shell, "polite", "--bucket", "of-another-team")
    assert_two_line_error(_errors(mine), 4, "s3:ListBucket")
    shell.proxy.deny = None
    assert writes(shell.proxy) == []
    assert list(hosting.list_keys(aws, "of-another-team")) == ["payroll"]


def test_a_bucket_that_somebody_else_makes_first_is_said(shell: Shell, set_up: SetUp) -> None:
    set_up("late")
    taken: list[str] = []

    def overtake(action: str) -> None:
        if action == "s3:CreateBucket" and not taken:
            shell.proxy.refuse["s3:CreateBucket"] = (9, "BucketAlreadyExists")
            shell.proxy.deny = "s3:ListBucket"
            taken.append(action)

    shell.proxy.before = overtake
    assert_two_line_error(_errors(publish(shell, "late")), 4, "another account's", "--bucket")
    shell.proxy.refuse.clear()
    # Another name does, and what the first one left in memory hinders nobody.
    shell.proxy.before = lambda _action: setattr(
        shell.proxy, "deny", "s3:ListBucket" if shell.proxy.count("s3:ListBucket") == 1 else None
    )
    shell.proxy.actions.clear()
    assert publish(shell, "late", "--bucket", "late-with-another-name").code == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Upper", "cannot be the name"),
        ("ab", "cannot be the name"),
        ("a" * 64, "cannot be the name"),
        ("a..b", "cannot be the name"),
        ("192.168.1.1", "cannot be the name"),
        ("xn--bucket", "cannot be the name"),
        ("../../etc", "cannot be the name"),
        ("chat.example.org", "dots"),
        ("", "cannot be the name"),
    ],
)
def test_names_that_cannot_be_a_buckets(shell: Shell, set_up: SetUp, name: str, words: str) -> None:
    set_up("names")
    assert_two_line_error(_errors(publish(shell, "names", "--bucket", name)), 2, words)
    assert writes(shell.proxy) == []


def test_what_cannot_be_published(shell: Shell, set_up: SetUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_two_line_error(_errors(publish(shell, "nowhere")), 3, "setup --env nowhere")
    assert shell.proxy.actions == []
    set_up("ready")
    asked = shell("site", "publish", "--env", "ready")
    assert_two_line_error(_errors(asked), 2, "--yes")
    assert_two_line_error(_errors(publish(shell, "ready", "--website", "--cloudfront")), 2, "exclude")
    assert_two_line_error(_errors(publish(shell, "ready", "--zip", "nowhere/page.zip")), 3, "nowhere/page.zip")
    for folder in (".", "/", str(tmp_path)):
        assert_two_line_error(_errors(publish(shell, "ready", "--zip", folder)), 3, "is a folder")
    assert_two_line_error(_errors(publish(shell, "ready", "--zip", "page.zip", "--website")), 2, "--zip")
    assert writes(shell.proxy) == []
    published(shell, "ready")
    moved = publish(shell, "ready", "--bucket", "another-bucket")
    assert_two_line_error(_errors(moved), 3, "is published in the bucket")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert_two_line_error(_errors(publish(shell, "ready")), 4, "no AWS credentials")
    zipped = publish(shell, "ready", "--zip", "page.zip")  # needs none
    assert zipped.code == 0, zipped.stderr
    names = zipfile.ZipFile(shell.folder / "page.zip").namelist()
    assert names[-1] == "index.html"
    assert "config.json" in names
    assert [path.name for path in shell.folder.glob("*.zip*")] == ["page.zip"]


def test_an_environment_without_its_role_is_sent_to_setup(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("torso")
    role = shell.environment("torso").managed["role"]
    iam.delete_inline_policy(stack.aws(), role, "chatops-guest")
    iam.delete_role(stack.aws(), role)
    assert_two_line_error(_errors(publish(shell, "torso")), 3, "guest role", "setup --env torso")


def test_the_permissions_of_publishing_are_what_it_calls(shell: Shell, set_up: SetUp, stack: RunningStack) -> None:
    set_up("calls")
    published(shell, "calls")
    site = shell.environment("calls").site
    aws = stack.aws()
    aws.call("s3", "put_object", Bucket=site["bucket"], Key="assets/old.js", Body=b"old")
    for kind, key in ((NamedKind.ACCESS_CONTROL, "Description"), (NamedKind.HEADERS_POLICY, "Comment")):
        found = cloudfront.find_named(aws, kind, site["bucket"])
        assert found is not None
        cloudfront.put_named(aws, kind, found, {**found.config, key: "by hand"})
    distribution = cloudfront.find_distribution(aws, site["distribution"])
    assert distribution is not None
    cloudfront.change_distribution(aws, distribution, {**distribution.properties(), "DefaultRootObject": "x"})
    aws.call("s3", "put_object", Bucket=site["bucket"], Key="index.html", Body=b"old")
    published(shell, "calls")
    published(shell, "calls", "--website")
    published(shell, "calls", "--cloudfront")
    needed = set(shell.proxy.actions) - ALWAYS_ALLOWED
    assert needed <= set(COMMANDS["publish"])
    assert set(COMMANDS["publish"]) - IMPLIED - RARE["publish"] <= needed
    shell.proxy.actions.clear()
    for command in ("plan", "status", "doctor"):
        shell(command, "--env", "calls")
        pages = {a for a in shell.proxy.actions if a.startswith(("s3:", "cloudfront:"))}
        assert pages <= set(COMMANDS["publish"])
    assert writes(shell.proxy) == []


def _errors(finished: Finished) -> Finished:
    """Without the plan, which comes before the error."""
    lines = finished.stderr.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("error: ")), 0)
    return Finished(finished.code, finished.stdout, "\n".join(lines[start:]) + "\n")
