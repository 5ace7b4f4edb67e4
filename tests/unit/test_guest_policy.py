"""The guest policy, judged: what a stranger can and cannot do, as `doctor` expects it."""

import json

import pytest

from chatops.chat.guest_session import GuestSession
from chatops.chat.iam import Decision, RequestPrincipal, evaluate, parse_policy
from chatops.chat.policy import guest_policy, trust_policy
from chatops.local.authorizer import SigV4Authorizer
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.roles import Role, RoleCatalogue

ACCOUNT = "123456789012"
REGION = "eu-west-1"
POOL = "eu-west-1:pool"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/chatops-test-guest"
ME = "eu-west-1:11111111-2222-3333-4444-555555555555"
OTHER = "eu-west-1:99999999-2222-3333-4444-555555555555"
GUEST = Principal(PrincipalKind.GUEST, ACCOUNT, REGION, ME, POOL, ROLE)


def guard(prefix: str = "/chat/", *, account: str = ACCOUNT, region: str = REGION) -> SigV4Authorizer:
    roles = RoleCatalogue()
    policy = parse_policy(json.dumps(guest_policy(region=region, account=account, prefix=prefix)))
    trust = parse_policy(json.dumps(trust_policy(POOL)))
    roles.replace({ROLE: Role(ROLE, trust, (policy,))})
    return SigV4Authorizer(CredentialStore(), roles, lambda: 0.0)


@pytest.mark.parametrize(
    ("client_id", "allowed"),
    [
        (ME, True),
        (f"{ME}-", True),
        (f"{ME}-tab2", True),
        (f"{ME}x", False),
        (f"x{ME}", False),
        (OTHER, False),
        (f"{OTHER}-tab2", False),
        (f"{OTHER}-{ME}", False),
        (ME.upper(), False),
        ("", False),
        ("*", False),
        ("${cognito-identity.amazonaws.com:sub}", False),
    ],
)
def test_connect(client_id: str, *, allowed: bool) -> None:
    assert guard().may_connect(GUEST, client_id, persistent=False, will=False) is allowed
    assert guard().may_connect(GUEST, client_id, persistent=False, will=True) is allowed
    assert not guard().may_connect(GUEST, client_id, persistent=True, will=False)
    assert not guard().may_connect(GUEST, client_id, persistent=True, will=True)


@pytest.mark.parametrize(
    ("topic_filter", "allowed"),
    [
        ("/chat/lobby", True),
        ("/chat/#", True),
        ("/chat/+", True),
        ("/chat/+/chess", True),
        ("/chat/games/chess", True),
        ("#", False),
        ("+/#", False),
        ("/#", False),
        ("/+/#", False),
        ("/+/lobby", False),
        ("+/chat/lobby", False),
        ("+/+/+", False),
        ("chat/lobby", False),
        ("/chat", False),
        ("/chatter/lobby", False),
        ("//chat/lobby", False),
        ("/Chat/lobby", False),
        ("$aws/#", False),
        ("$aws/events/#", False),
        ("$aws/things/x/shadow/update", False),
        ("$share/group//chat/lobby", False),
        ("other/room", False),
    ],
)
def test_subscribe(topic_filter: str, *, allowed: bool) -> None:
    assert guard().may_subscribe(GUEST, topic_filter) is allowed


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("/chat/lobby", True),
        ("/chat/games/chess", True),
        ("/chat/", True),
        ("/chat", False),
        ("chat/lobby", False),
        ("lobby", False),
        ("/other/lobby", False),
        ("$aws/things/x/shadow/update", False),
        ("$aws/events/presence/connected/x", False),
        ("/CHAT/lobby", False),
    ],
)
def test_publish_and_receive(topic: str, *, allowed: bool) -> None:
    assert guard().may_publish(GUEST, topic, retain=False) is allowed
    assert guard().may_receive(GUEST, topic) is allowed
    assert not guard().may_publish(GUEST, topic, retain=True)


def test_another_prefix() -> None:
    narrow = guard("rooms/")
    assert narrow.may_publish(GUEST, "rooms/lobby", retain=False)
    assert not narrow.may_publish(GUEST, "/chat/lobby", retain=False)
    assert narrow.may_subscribe(GUEST, "rooms/#")
    assert not narrow.may_subscribe(GUEST, "rooms")


@pytest.mark.parametrize("changes", [{"account": "210987654321"}, {"region": "us-east-1"}])
def test_a_policy_for_another_account_or_region_grants_nothing(changes: dict[str, str]) -> None:
    foreign = guard(**changes)
    assert not foreign.may_connect(GUEST, ME, persistent=False, will=False)
    assert not foreign.may_publish(GUEST, "/chat/lobby", retain=False)
    assert not foreign.may_subscribe(GUEST, "/chat/lobby")


@pytest.mark.parametrize(
    "action",
    [
        "iot:RetainPublish",
        "iot:UpdateThingShadow",
        "iot:GetRetainedMessage",
        "iot:DescribeEndpoint",
        "s3:GetObject",
        "iam:PassRole",
        "sts:AssumeRole",
    ],
)
def test_nothing_else(action: str) -> None:
    policy = parse_policy(guest_policy(region=REGION, account=ACCOUNT, prefix="/chat/"))
    context = {"cognito-identity.amazonaws.com:sub": ME}
    for resource in ("topic//chat/lobby", f"client/{ME}", "topicfilter//chat/#"):
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:{resource}"
        decision = evaluate((policy,), action=action, resource=arn, context=context)
        assert decision is Decision.IMPLICIT_DENY


def test_without_an_identity_nobody_connects() -> None:
    policy = parse_policy(guest_policy(region=REGION, account=ACCOUNT, prefix="/chat/"))
    for client_id in ("", "-", "-x", "${cognito-identity.amazonaws.com:sub}"):
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:client/{client_id}"
        decision = evaluate((policy,), action="iot:Connect", resource=arn, context={})
        assert decision is Decision.IMPLICIT_DENY


def test_other_partitions() -> None:
    document = guest_policy(region="cn-north-1", account=ACCOUNT, prefix="/chat/", partition="aws-cn")
    assert "arn:aws-cn:iot:cn-north-1" in json.dumps(document)
    assert "arn:aws:" not in json.dumps(document)
    policies = (parse_policy(document),)
    for partition, expected in (("aws-cn", Decision.ALLOW), ("aws", Decision.IMPLICIT_DENY)):
        session = GuestSession(region="cn-north-1", account=ACCOUNT, identity_id=ME, pool_id=None, partition=partition)
        assert session.connect(policies, ME, will=True) is expected
        assert session.publish(policies, "/chat/lobby") is expected
        assert session.subscribe(policies, "/chat/#") is expected
        assert session.receive(policies, "/chat/lobby") is expected
        assert session.publish(policies, "/chat/lobby", retain=True) is Decision.IMPLICIT_DENY


def test_it_fits_an_inline_role_policy() -> None:
    longest = guest_policy(region="ap-southeast-2", account=ACCOUNT, prefix="/" + "x" * 200 + "/")
    assert len(json.dumps(longest)) < 10_240


@pytest.mark.parametrize(
    ("kind", "name", "audience", "amr", "trusted"),
    [
        ("Federated", "cognito-identity.amazonaws.com", POOL, ("unauthenticated",), True),
        ("Federated", "cognito-identity.amazonaws.com", "eu-west-1:other", ("unauthenticated",), False),
        ("Federated", "cognito-identity.amazonaws.com", POOL, ("authenticated", "accounts.google.com"), False),
        ("Federated", "accounts.google.com", POOL, ("unauthenticated",), False),
        ("AWS", f"arn:aws:iam::{ACCOUNT}:root", POOL, ("unauthenticated",), False),
    ],
)
def test_trust(kind: str, name: str, audience: str, amr: tuple[str, ...], *, trusted: bool) -> None:
    decision = evaluate(
        (parse_policy(trust_policy(POOL)),),
        action="sts:AssumeRoleWithWebIdentity",
        resource=ROLE,
        context={"cognito-identity.amazonaws.com:aud": audience, "cognito-identity.amazonaws.com:amr": amr},
        principal=RequestPrincipal(kind, name),
    )
    assert (decision is Decision.ALLOW) is trusted
