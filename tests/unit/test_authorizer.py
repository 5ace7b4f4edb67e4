"""Signatures become principals, and guests may do what the policies of their role say, at this moment."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from awscrt import auth, http

from chatops.chat.iam import parse_policy
from chatops.chat.policy import SUBJECT, guest_policy
from chatops.local.authorizer import Authorizer, OpenAuthorizer, Refused, SigV4Authorizer
from chatops.local.credentials import Credential, CredentialStore, Principal, PrincipalKind
from chatops.local.roles import Role, RoleCatalogue

ACCOUNT = "123456789012"
REGION = "eu-west-1"
IDENTITY = "eu-west-1:11111111-2222-3333-4444-555555555555"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/guest"
NOW = 1_790_000_000.0
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
GUEST = Principal(PrincipalKind.GUEST, ACCOUNT, REGION, IDENTITY, "eu-west-1:pool", ROLE)
OPERATOR = Principal(PrincipalKind.OPERATOR, ACCOUNT)


def catalogue(*statements: dict[str, Any]) -> RoleCatalogue:
    roles = RoleCatalogue()
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    roles.replace({ROLE: Role(ROLE, None, (parse_policy(document),) if statements else ())})
    return roles


def allow(action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def authorizer(*statements: dict[str, Any]) -> SigV4Authorizer:
    return SigV4Authorizer(CredentialStore(), catalogue(*statements), lambda: NOW)


def attributes(*names: str, operator: str = "ForAllValues:StringEquals") -> dict[str, Any]:
    return {"Condition": {operator: {"iot:ConnectAttributes": list(names)}}}


def signed(credential: Credential, *, at: float = NOW, region: str = REGION) -> tuple[str, list[tuple[str, str]]]:
    request = http.HttpRequest("GET", "/mqtt", http.HttpHeaders([("Host", "127.0.0.1")]))
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            credential.access_key_id, credential.secret_access_key, credential.session_token
        ),
        region=region,
        service="iotdevicegateway",
        date=datetime.fromtimestamp(at, UTC),
        omit_session_token=True,
    )
    result = auth.aws_sign_request(request, config).result(10)
    return result.path, list(result.headers)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class TestAuthenticate:
    def test_guest_and_operator(self) -> None:
        clock = Clock()
        store = CredentialStore(clock)
        guard = SigV4Authorizer(store, catalogue(), clock)
        guest = store.issue_guest(GUEST)
        operator = Credential("AKIA", "secret", None, None, OPERATOR)
        store.add(operator)
        assert guard.authenticate("GET", *signed(guest)) == GUEST
        assert guard.authenticate("GET", *signed(operator, region="ap-south-1")) == OPERATOR

    def test_each_guest_signs_with_its_own_secret(self) -> None:
        store = CredentialStore(lambda: NOW)
        guard = SigV4Authorizer(store, catalogue(), lambda: NOW)
        one, two = store.issue_guest(GUEST), store.issue_guest(GUEST)
        for key, secret, token in (
            (one, two, one),
            (one, one, two),
            (two, one, one),
        ):
            mixed = replace(key, secret_access_key=secret.secret_access_key, session_token=token.session_token)
            with pytest.raises(Refused) as caught:
                guard.authenticate("GET", *signed(mixed))
            assert caught.value.status == 403

    def test_a_guest_is_bound_to_its_region(self) -> None:
        store = CredentialStore(lambda: NOW)
        guard = SigV4Authorizer(store, catalogue(), lambda: NOW)
        target, headers = signed(store.issue_guest(GUEST), region="us-east-1")
        with pytest.raises(Refused, match=r"'us-east-1'.*good for eu-west-1") as caught:
            guard.authenticate("GET", target, headers)
        assert (caught.value.status, caught.value.code) == (403, "InvalidSignatureException")

    def test_expiry_follows_the_clock(self) -> None:
        clock = Clock()
        store = CredentialStore(clock)
        guard = SigV4Authorizer(store, catalogue(), clock)
        guest = store.issue_guest(GUEST)
        clock.now += 3599
        assert guard.authenticate("GET", *signed(guest, at=clock.now)) == GUEST
        clock.now += 1
        with pytest.raises(Refused) as caught:
            guard.authenticate("GET", *signed(guest, at=clock.now))
        assert caught.value.code == "ExpiredTokenException"

    @pytest.mark.parametrize("method", ["POST", "HEAD", "get", ""])
    def test_only_get_opens_a_websocket(self, method: str) -> None:
        with pytest.raises(Refused) as caught:
            authorizer().authenticate(method, "/mqtt", [("Host", "h")])
        assert caught.value.status == 403

    def test_the_ports_given_help_clients_that_do_not_send_theirs(self) -> None:
        store = CredentialStore(lambda: NOW)
        guest = store.issue_guest(GUEST)
        guard = SigV4Authorizer(store, catalogue(), lambda: NOW, ports=lambda: [4123])
        target, _ = signed(guest)
        with pytest.raises(Refused):
            guard.authenticate("GET", target, [("Host", "127.0.0.2")])
        assert guard.authenticate("GET", target, [("Host", "127.0.0.1:4123")]) == GUEST

    def test_the_default_clock_is_the_time_of_day(self) -> None:
        store = CredentialStore()
        guest = store.issue_guest(GUEST)
        guard = SigV4Authorizer(store, catalogue())
        assert guard.authenticate("GET", *signed(guest, at=time.time())) == GUEST


class TestConnect:
    def test_client_ids(self) -> None:
        guard = authorizer(allow("iot:Connect", f"{ARN}:client/{SUBJECT}-*"))
        assert guard.may_connect(GUEST, f"{IDENTITY}-tab", persistent=False, will=False)
        assert not guard.may_connect(GUEST, IDENTITY, persistent=False, will=False)
        assert not guard.may_connect(GUEST, "*", persistent=False, will=False)
        other = replace(GUEST, identity_id=f"{IDENTITY}0")
        assert not guard.may_connect(other, f"{IDENTITY}-tab", persistent=False, will=False)

    @pytest.mark.parametrize(
        ("condition", "granted"),
        [
            ({}, {()}),
            (attributes("LastWill"), {(), ("will",)}),
            (attributes("PersistentConnect"), {(), ("persistent",)}),
            (
                attributes("LastWill", "PersistentConnect"),
                {(), ("will",), ("persistent",), ("persistent", "will")},
            ),
            (attributes("LastWill", operator="ForAnyValue:StringEquals"), {("will",), ("persistent", "will")}),
            (attributes("*", operator="ForAllValues:StringEquals"), {()}),
            ({"Condition": {"Null": {"iot:ConnectAttributes": "true"}}}, {()}),
            ({"Condition": {"Unheard": {"iot:ConnectAttributes": "LastWill"}}}, set()),
        ],
    )
    def test_attributes(self, condition: dict[str, Any], granted: set[tuple[str, ...]]) -> None:
        guard = authorizer(allow("iot:Connect", **condition))
        for wanted in ((), ("will",), ("persistent",), ("persistent", "will")):
            allowed = guard.may_connect(GUEST, "x", persistent="persistent" in wanted, will="will" in wanted)
            assert allowed is (wanted in granted), wanted

    def test_an_attribute_can_be_denied(self) -> None:
        deny = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}
        deny |= attributes("LastWill", operator="ForAnyValue:StringEquals")
        guard = authorizer(allow("iot:*", **attributes("LastWill", "PersistentConnect")), deny)
        assert guard.may_connect(GUEST, "x", persistent=True, will=False)
        assert not guard.may_connect(GUEST, "x", persistent=True, will=True)


class TestOperations:
    def test_arns(self) -> None:
        guard = authorizer(
            allow("iot:Publish", f"{ARN}:topic//chat/a"),
            allow("iot:Subscribe", f"{ARN}:topicfilter//chat/+/#"),
            allow("iot:Receive", f"{ARN}:topic//chat/b"),
        )
        assert guard.may_publish(GUEST, "/chat/a", retain=False)
        assert not guard.may_publish(GUEST, "/chat/b", retain=False)
        assert guard.may_receive(GUEST, "/chat/b")
        assert not guard.may_receive(GUEST, "/chat/a")
        assert guard.may_subscribe(GUEST, "/chat/+/#")
        assert not guard.may_subscribe(GUEST, "/chat/a/b")

    def test_retaining_needs_both_permissions(self) -> None:
        assert not authorizer(allow("iot:Publish")).may_publish(GUEST, "a", retain=True)
        assert not authorizer(allow("iot:RetainPublish")).may_publish(GUEST, "a", retain=True)
        assert not authorizer(allow("iot:RetainPublish")).may_publish(GUEST, "a", retain=False)
        both = authorizer(allow("iot:Publish"), allow("iot:RetainPublish", f"{ARN}:topic/a"))
        assert both.may_publish(GUEST, "a", retain=True)
        assert not both.may_publish(GUEST, "b", retain=True)

    def test_shared_subscriptions_are_judged_whole(self) -> None:
        inner = authorizer(allow("iot:Subscribe", f"{ARN}:topicfilter//chat/*"))
        assert not inner.may_subscribe(GUEST, "$share/group//chat/lobby")
        whole = authorizer(allow("iot:Subscribe", f"{ARN}:topicfilter/$share/*//chat/*"))
        assert whole.may_subscribe(GUEST, "$share/group//chat/lobby")
        assert not whole.may_subscribe(GUEST, "/chat/lobby")

    def test_deny_before_allow(self) -> None:
        guard = authorizer(
            allow("iot:*"), {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}:topic/secret*"}
        )
        assert guard.may_publish(GUEST, "open", retain=False)
        assert not guard.may_publish(GUEST, "secret/x", retain=False)
        assert guard.may_receive(GUEST, "secret/x")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("cognito-identity.amazonaws.com:sub", IDENTITY),
            ("cognito-identity.amazonaws.com:aud", "eu-west-1:pool"),
            ("aws:PrincipalType", "AssumedRole"),
            ("aws:RequestedRegion", REGION),
            ("aws:PrincipalAccount", ACCOUNT),
        ],
    )
    def test_context_keys(self, key: str, value: str) -> None:
        right = authorizer(allow("iot:*", Condition={"StringEquals": {key: value}}))
        wrong = authorizer(allow("iot:*", Condition={"StringEquals": {key: "other"}}))
        assert right.may_receive(GUEST, "a")
        assert not wrong.may_receive(GUEST, "a")

    def test_amr_is_multivalued(self) -> None:
        condition = {"ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "unauth*"}}
        assert authorizer(allow("iot:*", Condition=condition)).may_receive(GUEST, "a")

    @pytest.mark.parametrize("topic", ["", "a" * 100_000, "\ud800", "\x00", "*", "${k}", "é/日本/😀"])
    def test_odd_topics_are_judged_not_raised(self, topic: str) -> None:
        everything = authorizer(allow("iot:*"))
        nothing = authorizer(allow("iot:*", f"{ARN}:topic/no"))
        for guard, expected in ((everything, True), (nothing, False)):
            assert guard.may_publish(GUEST, topic, retain=False) is expected
            assert guard.may_subscribe(GUEST, topic) is expected
            assert guard.may_receive(GUEST, topic) is expected
            assert guard.may_connect(GUEST, topic, persistent=False, will=False) is expected


def everything_asked(guard: Authorizer, principal: Principal) -> set[bool]:
    return {
        guard.may_connect(principal, IDENTITY, persistent=False, will=False),
        guard.may_connect(principal, "other", persistent=True, will=True),
        guard.may_publish(principal, "$aws/x", retain=True),
        guard.may_subscribe(principal, "#"),
        guard.may_receive(principal, "/chat/lobby"),
    }


def test_a_missing_role_or_an_empty_one_denies_everything() -> None:
    empty = SigV4Authorizer(CredentialStore(), RoleCatalogue(), lambda: NOW)
    assert everything_asked(empty, GUEST) == {False}
    assert everything_asked(authorizer(), GUEST) == {False}
    assert everything_asked(authorizer(allow("*")), replace(GUEST, role_arn=None)) == {False}


def test_operators_may_do_everything() -> None:
    assert everything_asked(authorizer(), OPERATOR) == {True}


def test_a_changed_policy_counts_at_once_and_shows_in_the_generation() -> None:
    roles = catalogue(guest_policy(region=REGION, account=ACCOUNT, prefix="/chat/")["Statement"][1])
    guard = SigV4Authorizer(CredentialStore(), roles, lambda: NOW)
    before = guard.generation
    assert guard.may_publish(GUEST, "/chat/lobby", retain=False)
    same = parse_policy({"Version": "2012-10-17", "Statement": [allow("iot:Connect")]})
    roles.replace({ROLE: Role(ROLE, None, (same,))})
    changed = guard.generation
    assert changed > before
    assert not guard.may_publish(GUEST, "/chat/lobby", retain=False)
    again = parse_policy({"Version": "2012-10-17", "Statement": allow("iot:Connect")})
    roles.replace({ROLE: Role(ROLE, None, (again,))})
    assert guard.generation == changed


def test_the_open_authorizer_lets_everybody_do_everything() -> None:
    guard = OpenAuthorizer(ACCOUNT)
    principal = guard.authenticate("GET", "anything", [])
    assert principal == OPERATOR
    assert everything_asked(guard, principal) == {True}
    assert guard.generation == 0
