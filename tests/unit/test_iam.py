"""Documents that IAM would not take are refused by statement; the others are judged as IAM does."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.iam import (
    Context,
    Decision,
    Policy,
    PolicyError,
    RequestPrincipal,
    evaluate,
    parse_policy,
)
from chatops.chat.policy import trust_policy

ALLOW = {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:r:1:topic/a"}
ARN = "arn:aws:iot:r:1:"
NOBODY: Context = {}


def policy(*statements: dict[str, Any], version: str | None = "2012-10-17") -> Policy:
    head = {} if version is None else {"Version": version}
    return parse_policy({**head, "Statement": list(statements)})


def decide(
    policies: Policy | tuple[Policy, ...],
    action: str = "iot:Publish",
    resource: str = ARN + "topic/a",
    context: Context = NOBODY,
    **options: Any,
) -> Decision:
    policies = policies if isinstance(policies, tuple) else (policies,)
    return evaluate(policies, action=action, resource=resource, context=context, **options)


class TestEvaluation:
    def test_nothing_allows_nothing(self) -> None:
        assert decide(()) is Decision.IMPLICIT_DENY
        assert decide(policy(ALLOW | {"Resource": "arn:aws:iot:r:1:topic/b"})) is Decision.IMPLICIT_DENY

    def test_deny_comes_before_allow_wherever_it_stands(self) -> None:
        deny = ALLOW | {"Effect": "Deny"}
        for policies in (
            (policy(ALLOW, deny),),
            (policy(deny, ALLOW),),
            (policy(ALLOW), policy(deny)),
            (policy(deny), policy(ALLOW)),
        ):
            assert decide(policies) is Decision.EXPLICIT_DENY
        assert decide((policy(ALLOW), policy(deny | {"Resource": "arn:other"}))) is Decision.ALLOW

    @pytest.mark.parametrize(
        ("pattern", "action", "allowed"),
        [
            ("iot:Publish", "IOT:publish", True),
            ("IOT:PUB*", "iot:Publish", True),
            ("iot:?ublish", "iot:Publish", True),
            ("iot:?ublish", "iot:ublish", False),
            ("*", "iot:Publish", True),
            ("*:*", "iot:Publish", True),
            ("iot:*", "iotdata:Publish", False),
            ("iot:Publish", "iot:PublishX", False),
            (["sns:Publish", "iot:Re*"], "iot:Receive", True),
            ("iot:${a}", "iot:${a}", True),
        ],
    )
    def test_actions(self, pattern: Any, action: str, *, allowed: bool) -> None:
        statement = {"Effect": "Allow", "Action": pattern, "Resource": "*"}
        assert (decide(policy(statement), action) is Decision.ALLOW) is allowed
        statement = {"Effect": "Allow", "NotAction": pattern, "Resource": "*"}
        assert (decide(policy(statement), action) is Decision.ALLOW) is not allowed

    @pytest.mark.parametrize(
        ("pattern", "resource", "allowed"),
        [
            (ARN + "topic//chat/*", "topic//chat/a/b/c", True),
            (ARN + "topic/chat/*", "topic//chat/a", False),
            (ARN + "topic//chat/?", "topic//chat/a", True),
            (ARN + "topic//chat/?", "topic//chat/ab", False),
            ("arn:aws:iot:*", "topic/a", True),
            ("arn:aws:iot:*:topic/a", "topic/a", True),
            ("*", "topic/a", True),
            ("ARN:*", "topic/a", False),
            ([ARN + "x", ARN + "topic/a"], "topic/a", True),
            (ARN + "topic/A", "topic/a", False),
        ],
    )
    def test_resources(self, pattern: Any, resource: str, *, allowed: bool) -> None:
        if pattern == "ARN:*":
            with pytest.raises(PolicyError, match="must be \\* or an ARN"):
                policy({"Effect": "Allow", "Action": "*", "Resource": pattern})
            return
        statement = {"Effect": "Allow", "Action": "*", "Resource": pattern}
        assert (decide(policy(statement), resource=ARN + resource) is Decision.ALLOW) is allowed
        statement = {"Effect": "Allow", "Action": "*", "NotResource": pattern}
        assert (decide(policy(statement), resource=ARN + resource) is Decision.ALLOW) is not allowed

    def test_policy_variables_need_the_new_version(self) -> None:
        statement = ALLOW | {"Resource": ARN + "client/${k:sub}"}
        context = {"k:sub": "me"}
        assert decide(policy(statement), resource=ARN + "client/me", context=context) is Decision.ALLOW
        for version in ("2008-10-17", None):
            old = policy(statement, version=version)
            assert decide(old, resource=ARN + "client/me", context=context) is Decision.IMPLICIT_DENY
            assert decide(old, resource=ARN + "client/${k:sub}", context=context) is Decision.ALLOW

    def test_a_variable_without_a_value_matches_nothing(self) -> None:
        statement = {"Effect": "Allow", "Action": "*", "Resource": ARN + "${k:none}*"}
        assert decide(policy(statement)) is Decision.IMPLICIT_DENY
        assert decide(policy({**ALLOW, "Resource": "*"}, statement | {"Effect": "Deny"})) is Decision.ALLOW

    def test_not_resource_with_a_variable_without_a_value_is_undecided(self) -> None:
        statement = {"Effect": "Allow", "Action": "*", "NotResource": ARN + "${k:none}*"}
        assert decide(policy(statement)) is Decision.IMPLICIT_DENY
        assert decide(policy(ALLOW, statement | {"Effect": "Deny"})) is Decision.EXPLICIT_DENY

    def test_must_test_counts_only_statements_that_speak_of_the_key(self) -> None:
        condition = {"ForAllValues:StringEquals": {"IOT:connectattributes": ["LastWill"]}}
        context = {"iot:ConnectAttributes": ("LastWill",)}
        needed: dict[str, Any] = {"must_test": ("iot:ConnectAttributes",), "context": context}
        assert decide(policy(ALLOW), **needed) is Decision.IMPLICIT_DENY
        assert decide(policy(ALLOW), context=context) is Decision.ALLOW
        assert decide(policy(ALLOW | {"Condition": condition}), **needed) is Decision.ALLOW
        assert decide(policy(ALLOW, ALLOW | {"Condition": condition}), **needed) is Decision.ALLOW
        other = {"StringEquals": {"iot:ConnectAttributes": "PersistentConnect"}}
        assert decide(policy(ALLOW, ALLOW | {"Condition": other}), **needed) is Decision.IMPLICIT_DENY
        deny = ALLOW | {"Effect": "Deny"}
        assert decide(policy(ALLOW | {"Condition": condition}, deny), **needed) is Decision.EXPLICIT_DENY


class TestPrincipals:
    COGNITO = RequestPrincipal("Federated", "cognito-identity.amazonaws.com")
    ACTION = "sts:AssumeRoleWithWebIdentity"

    def trusts(self, document: Any, principal: RequestPrincipal | None, context: Context) -> Decision:
        return evaluate(
            (parse_policy(document),), action=self.ACTION, resource="", context=context, principal=principal
        )

    def test_trust_policy_of_the_guest_role(self) -> None:
        document = trust_policy("us-east-1:pool")
        aud, amr = "cognito-identity.amazonaws.com:aud", "cognito-identity.amazonaws.com:amr"
        good: Context = {aud: "us-east-1:pool", amr: ("unauthenticated",)}
        assert self.trusts(document, self.COGNITO, good) is Decision.ALLOW
        contexts: tuple[Context, ...] = (
            {aud: "us-east-1:other", amr: ("unauthenticated",)},
            {aud: "us-east-1:pool", amr: ("authenticated",)},
            {aud: "us-east-1:pool"},
            {amr: ("unauthenticated",)},
        )
        for context in contexts:
            assert self.trusts(document, self.COGNITO, context) is Decision.IMPLICIT_DENY
        other = RequestPrincipal("Federated", "accounts.google.com")
        assert self.trusts(document, other, good) is Decision.IMPLICIT_DENY
        service = RequestPrincipal("Service", "cognito-identity.amazonaws.com")
        assert self.trusts(document, service, good) is Decision.IMPLICIT_DENY
        assert self.trusts(document, None, good) is Decision.IMPLICIT_DENY

    @pytest.mark.parametrize(
        ("named", "expected"),
        [
            ("*", True),
            ({"AWS": "*"}, True),
            ({"Federated": "*"}, True),
            ({"Service": "*"}, False),
            ({"Federated": ["a", "cognito-identity.amazonaws.com"]}, True),
            ({"Federated": "cognito-*"}, False),
        ],
    )
    def test_names(self, named: Any, *, expected: bool) -> None:
        for key, wanted in (("Principal", expected), ("NotPrincipal", not expected)):
            document = {"Statement": {"Effect": "Allow", key: named, "Action": self.ACTION}}
            assert (self.trusts(document, self.COGNITO, {}) is Decision.ALLOW) is wanted

    @pytest.mark.parametrize("named", ["123456789012", "arn:aws:iam::123456789012:root"])
    def test_an_account_stands_for_all_its_principals(self, named: str) -> None:
        document = {"Statement": {"Effect": "Allow", "Principal": {"AWS": named}, "Action": "*"}}
        role = RequestPrincipal("AWS", "arn:aws:iam::123456789012:role/x")
        assert self.trusts(document, role, {}) is Decision.ALLOW
        other = RequestPrincipal("AWS", "arn:aws:iam::210987654321:role/x")
        assert self.trusts(document, other, {}) is Decision.IMPLICIT_DENY
        assert self.trusts(document, RequestPrincipal("AWS", "x"), {}) is Decision.IMPLICIT_DENY

    def test_who_asks_must_be_told_where_a_statement_names_principals(self) -> None:
        statement = ALLOW | {"Principal": "*"}
        assert decide(policy(statement)) is Decision.IMPLICIT_DENY
        assert decide(policy(ALLOW, statement | {"Effect": "Deny"})) is Decision.EXPLICIT_DENY

    def test_a_statement_without_principals_trusts_nobody(self) -> None:
        assert decide(policy(ALLOW), principal=self.COGNITO) is Decision.IMPLICIT_DENY


def with_statement(**changes: Any) -> dict[str, Any]:
    statement = {k: v for k, v in (ALLOW | changes).items() if v is not ...}
    return {"Version": "2012-10-17", "Statement": [ALLOW, statement]}


class TestRefusedDocuments:
    @pytest.mark.parametrize(
        ("document", "says"),
        [
            ("", "not JSON: Expecting value at line 1 column 1"),
            ('{\n "Version": }', "not JSON: Expecting value at line 2 column 13"),
            ("[]", "must be a JSON object, not a list"),
            ("null", "must be a JSON object, not None"),
            ('"text"', "must be a JSON object, not 'text'"),
            ("NaN", "NaN is not a JSON value"),
            ("{}", "must have a Statement"),
            ('{"Statement": []}', "must have a Statement"),
            ('{"Statement": "x"}', "must have a Statement"),
            ('{"Version": "2012-10-17", "Version": "2008-10-17"}', "key 'Version' twice"),
            ('{"Version": "2012-10-18", "Statement": {}}', "Version is '2012-10-18'; it must be one of 2008-10-17"),
            ('{"Version": 2012, "Statement": {}}', "Version is 2012"),
            ('{"Version": ["2012-10-17"], "Statement": {}}', "Version is a list"),
            ('{"Id": 1, "Statement": {}}', "Id must be a string, not 1"),
            ('{"Statements": []}', "unknown key 'Statements'; known are Id, Statement, Version"),
            ("[" * 100_000, "nested too deeply"),
            ('{"a":' * 100_000, "nested too deeply"),
            ("1" * 100_000, "number in it is too long"),
            ('{"Statement": [null]}', "Statement 1 must be an object, not None"),
        ],
    )
    def test_documents(self, document: str, says: str) -> None:
        with pytest.raises(PolicyError, match=re.escape(says)):
            parse_policy(document)

    @pytest.mark.parametrize("document", [None, 1, b"{}", [], ["a"]])
    def test_what_is_no_document(self, document: Any) -> None:
        with pytest.raises(PolicyError, match="must be a JSON object"):
            parse_policy(document)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"Effect": ...}, "has no Effect; it must be Allow or Deny"),
            ({"Effect": "allow"}, "has the Effect 'allow'"),
            ({"Effect": ["Allow"]}, "has the Effect a list"),
            ({"Effects": "Allow"}, "unknown key 'Effects'"),
            ({"Action": ...}, "neither Action nor NotAction"),
            ({"NotAction": "a:b"}, "both Action and NotAction"),
            ({"Action": []}, "Action is an empty list"),
            ({"Action": 1}, "Action must be a string or a list of strings, not 1"),
            ({"Action": ["a:b", None]}, "Action must be a string or a list of strings, not None"),
            ({"Action": {"a": "b"}}, "not an object"),
            ({"Action": "Publish"}, "Action 'Publish' must be * or a service and an operation"),
            ({"Resource": ...}, "neither Resource nor NotResource"),
            ({"NotResource": "*"}, "both Resource and NotResource"),
            ({"Resource": []}, "Resource is an empty list"),
            ({"Resource": True}, "Resource must be a string or a list of strings, not True"),
            ({"Resource": "topic/a"}, "Resource 'topic/a' must be * or an ARN"),
            ({"Resource": "arn:${open"}, "policy variable that is not closed"),
            ({"Sid": "with space"}, "Sid must be letters and digits, not 'with space'"),
            ({"Sid": 1}, "Sid must be letters and digits, not 1"),
            ({"Principal": "me"}, 'Principal must be "*" or an object'),
            ({"Principal": {}}, 'Principal must be "*" or an object'),
            ({"Principal": {"Robot": "x"}}, "Principal has the unknown key 'Robot'"),
            ({"Principal": {"AWS": []}}, "Principal AWS is an empty list"),
            ({"Principal": {"AWS": [1]}}, "Principal AWS must be a string"),
            ({"Principal": "*", "NotPrincipal": "*"}, "both Principal and NotPrincipal"),
            ({"Condition": []}, "Condition must be an object, not a list"),
            ({"Condition": {"Bool": "x"}}, "Condition 'Bool' must be an object of condition keys"),
            ({"Condition": {"Bool": {"": "x"}}}, "has a key that is no condition key"),
            ({"Condition": {"Bool": {"k": []}}}, "Condition 'Bool' 'k' is an empty list"),
            ({"Condition": {"Bool": {"k": None}}}, "must be strings, numbers or booleans, not None"),
            ({"Condition": {"Bool": {"k": [["x"]]}}}, "must be strings, numbers or booleans, not a list"),
            ({"Condition": {"Bool": {"k": float("inf")}}}, "number that JSON cannot hold"),
            ({"Condition": {"NumericEquals": {"k": 10**5000}}}, "number that JSON cannot hold"),
            ({"Condition": {"StringEquals": {"k": "${}"}}}, "policy variable"),
        ],
    )
    def test_statements(self, changes: dict[str, Any], says: str) -> None:
        with pytest.raises(PolicyError, match=f"^Statement 2.*{re.escape(says)}"):
            parse_policy(with_statement(**changes))

    def test_the_sid_is_named(self) -> None:
        with pytest.raises(PolicyError, match=re.escape("Statement 2 (Speak) has no Effect")):
            parse_policy(with_statement(Sid="Speak", Effect=...))

    def test_two_statements_of_one_name(self) -> None:
        with pytest.raises(PolicyError, match="Statement 2 \\(A\\) has the Sid of another"):
            policy(ALLOW | {"Sid": "A"}, ALLOW | {"Sid": "A"})
        assert policy(ALLOW | {"Sid": ""}, ALLOW | {"Sid": ""})

    def test_messages_stay_short_and_on_one_line(self) -> None:
        with pytest.raises(PolicyError) as caught:
            parse_policy(with_statement(Action="\x1b[31m\n" + "x" * 1_000_000))
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()

    def test_a_large_document_is_no_error(self) -> None:
        actions = [f"iot:Action{number}" for number in range(20_000)]
        large = policy(ALLOW | {"Action": actions, "Resource": [ARN + action for action in actions]})
        assert decide(large, "iot:Action19999", ARN + "iot:Action7") is Decision.ALLOW
        assert decide(large, "iot:Action20000", ARN + "iot:Action7") is Decision.IMPLICIT_DENY

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "Condition", "x"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=20,
        )
    )
    def test_any_json_gives_a_policy_or_a_policy_error(self, document: Any) -> None:
        for form in (document, json.dumps(document)):
            with suppress(PolicyError):
                assert isinstance(parse_policy(form), Policy)

    @given(st.text())
    def test_any_text_gives_a_policy_or_a_policy_error(self, text: str) -> None:
        with pytest.raises(PolicyError):
            parse_policy(text)


class TestEquality:
    def test_by_content(self) -> None:
        one = {"Version": "2012-10-17", "Statement": [{**ALLOW, "Action": ["a:b", "c:d"]}]}
        other = json.dumps({"Statement": {**ALLOW, "Action": ["c:d", "a:b"]}, "Version": "2012-10-17"}, indent=3)
        assert parse_policy(one) == parse_policy(other)
        assert hash(parse_policy(one)) == hash(parse_policy(other))

    @pytest.mark.parametrize(
        "changes",
        [
            {"Effect": "Deny"},
            {"Resource": "*"},
            {"Sid": "A"},
            {"Condition": {"Bool": {"k": True}}},
            {"Principal": "*"},
            {"Action": "iot:Receive"},
        ],
    )
    def test_differences(self, changes: dict[str, Any]) -> None:
        assert policy(ALLOW) != policy(ALLOW | changes)
        assert policy(ALLOW) != policy(ALLOW, ALLOW)
        assert policy(ALLOW) != policy(ALLOW, version="2008-10-17")
        assert policy(ALLOW, version=None) == policy(ALLOW, version="2008-10-17")
