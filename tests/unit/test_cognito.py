import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatops.chat.iam import parse_policy
from chatops.chat.policy import trust_policy
from chatops.local import cognito, cognito_pools
from chatops.local.aws_errors import ApiError
from chatops.local.cognito import CognitoIdentity
from chatops.local.credentials import CredentialStore, Principal, PrincipalKind
from chatops.local.limits import Limits
from chatops.local.roles import Role, RoleCatalogue

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/guest"


class Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """The service with its surroundings."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.time = Time()
        self.credentials = CredentialStore(self.time)
        self.roles = RoleCatalogue()
        self.cognito = CognitoIdentity(
            credentials=self.credentials,
            roles=self.roles,
            limits=limits or Limits.aws_protocol(),
            account=ACCOUNT,
            clock=self.time,
            monotonic=self.time,
        )

    def __call__(self, operation: str, region: str = REGION, **members: Any) -> dict[str, Any]:
        return self.cognito.call(operation, members, region)

    def pool(self, name: str = "chat", *, guests: bool = True, **more: Any) -> str:
        made = self("CreateIdentityPool", IdentityPoolName=name, AllowUnauthenticatedIdentities=guests, **more)
        return str(made["IdentityPoolId"])

    def ready_pool(self) -> str:
        pool_id = self.pool()
        self.trust(trust_policy(pool_id))
        self("SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles={"unauthenticated": ROLE})
        return pool_id

    def trust(self, document: dict[str, Any] | None) -> None:
        trust = None if document is None else parse_policy(document)
        self.roles.replace({ROLE: Role(ROLE, trust, ())})

    def guest(self, pool_id: str) -> str:
        return str(self("GetId", IdentityPoolId=pool_id)["IdentityId"])


@pytest.fixture
def service() -> Service:
    return Service()


def refusal(call: Any, *arguments: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        call(*arguments, **members)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


# --- guests


def test_identities_are_version_4_uuids_of_the_pools_region_and_differ(service: Service) -> None:
    pool_id = service.pool()
    identities = {service.guest(pool_id) for _ in range(200)}
    assert len(identities) == 200
    pattern = re.compile(rf"{REGION}:[0-9a-f]{{8}}-[0-9a-f]{{4}}-4[0-9a-f]{{3}}-[89ab][0-9a-f]{{3}}-[0-9a-f]{{12}}")
    assert all(pattern.fullmatch(each) for each in identities)


def test_credentials_sign_for_the_guests_role_until_they_expire(service: Service) -> None:
    pool_id = service.ready_pool()
    identity_id = service.guest(pool_id)
    vended = service("GetCredentialsForIdentity", IdentityId=identity_id)["Credentials"]
    known = service.credentials.find(vended["AccessKeyId"])
    assert known is not None
    assert known.principal == Principal(PrincipalKind.GUEST, ACCOUNT, REGION, identity_id, pool_id, ROLE)
    assert (known.secret_access_key, known.session_token) == (vended["SecretKey"], vended["SessionToken"])
    assert known.expires_at == vended["Expiration"] == service.time.now + 3600


def test_a_pool_that_does_not_exist_has_no_guests(service: Service) -> None:
    missing = f"{REGION}:00000000-0000-0000-0000-000000000000"
    code, message = refusal(service, "GetId", IdentityPoolId=missing)
    assert (code, message) == ("ResourceNotFoundException", f"IdentityPool '{missing}' not found.")
    code, message = refusal(service, "GetCredentialsForIdentity", IdentityId=missing)
    assert (code, message) == ("ResourceNotFoundException", f"Identity '{missing}' not found.")


def test_a_pool_of_another_account_is_not_found(service: Service) -> None:
    pool_id = service.pool()
    assert service("GetId", IdentityPoolId=pool_id, AccountId=ACCOUNT)["IdentityId"]
    assert refusal(service, "GetId", IdentityPoolId=pool_id, AccountId="1")[0] == "ResourceNotFoundException"


def test_a_pool_without_guests_refuses_them(service: Service) -> None:
    pool_id = service.pool(guests=False)
    assert refusal(service, "GetId", IdentityPoolId=pool_id)[0] == "NotAuthorizedException"


def test_a_pool_that_stops_allowing_guests_vends_no_more(service: Service) -> None:
    pool_id = service.ready_pool()
    identity_id = service.guest(pool_id)
    service("UpdateIdentityPool", IdentityPoolId=pool_id, IdentityPoolName="chat", AllowUnauthenticatedIdentities=False)
    for operation in ("GetCredentialsForIdentity", "GetOpenIdToken"):
        assert refusal(service, operation, IdentityId=identity_id)[0] == "NotAuthorizedException"


def test_logins_are_refused_and_said_to_be_unknown_here(service: Service) -> None:
    pool_id = service.ready_pool()
    identity_id = service.guest(pool_id)
    logins = {"accounts.example": "token"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("GetId", {"IdentityPoolId": pool_id}),
        ("GetCredentialsForIdentity", {"IdentityId": identity_id}),
        ("GetOpenIdToken", {"IdentityId": identity_id}),
        ("UnlinkIdentity", {"IdentityId": identity_id, "LoginsToRemove": ["accounts.example"]}),
    ]
    for operation, members in calls:
        code, message = refusal(service, operation, Logins=logins, **members)
        assert code == "NotAuthorizedException"
        assert "local stack" in message
    assert service("GetId", IdentityPoolId=pool_id, Logins={})["IdentityId"]


def test_what_is_wrong_with_the_role_is_said(service: Service) -> None:
    pool_id = service.pool()
    identity_id = service.guest(pool_id)

    def reason() -> str:
        code, message = refusal(service, "GetCredentialsForIdentity", IdentityId=identity_id)
        assert code == "InvalidIdentityPoolConfigurationException"
        return message

    assert "has no role" in reason()
    service("SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles={"authenticated": ROLE})
    assert "has no role" in reason()
    service("SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles={"unauthenticated": ROLE})
    assert "does not exist" in reason()
    service.trust(None)
    assert "cannot be read" in reason()
    service.trust(trust_policy(f"{REGION}:ffffffff-0000-0000-0000-000000000000"))
    assert "trust policy" in reason()
    assert len(service.credentials) == 0


def statement(**changes: Any) -> dict[str, Any]:
    document = trust_policy("POOL")
    return {**document, "Statement": [{**document["Statement"][0], **changes}]}


@pytest.mark.parametrize(
    "document",
    [
        statement(Action="sts:AssumeRole"),
        statement(Principal={"Federated": "accounts.google.com"}),
        statement(Principal={"Service": "iot.amazonaws.com"}),
        statement(Effect="Deny"),
        statement(Condition={"ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": "authenticated"}}),
        statement(Condition={"StringEquals": {"cognito-identity.amazonaws.com:sub": "somebody"}}),
    ],
)
def test_trust_that_does_not_cover_guests_vends_nothing(service: Service, document: dict[str, Any]) -> None:
    pool_id = service.ready_pool()
    identity_id = service.guest(pool_id)
    service.trust(json.loads(json.dumps(document).replace("POOL", pool_id)))
    code, _ = refusal(service, "GetCredentialsForIdentity", IdentityId=identity_id)
    assert code == "InvalidIdentityPoolConfigurationException"


def test_tokens_are_well_formed_and_speak_of_the_guest(service: Service) -> None:
    pool_id = service.pool()
    identity_id = service.guest(pool_id)
    header, claims, signature = service("GetOpenIdToken", IdentityId=identity_id)["Token"].split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    assert read[0]["typ"] == "JWT"
    assert read[1] == {
        "sub": identity_id,
        "aud": pool_id,
        "amr": ["unauthenticated"],
        "iss": "https://cognito-identity.amazonaws.com",
        "iat": service.time.now,
        "exp": service.time.now + 600,
    }
    assert len(base64.urlsafe_b64decode(signature + "==")) == 32


def test_a_custom_role_is_not_for_guests(service: Service) -> None:
    identity_id = service.guest(service.ready_pool())
    code, _ = refusal(service, "GetCredentialsForIdentity", IdentityId=identity_id, CustomRoleArn=ROLE)
    assert code == "InvalidParameterException"


@pytest.mark.parametrize(("operation", "rate"), [("GetId", 25), ("GetCredentialsForIdentity", 200)])
def test_the_account_quotas_hold_when_asked_for(operation: str, rate: int) -> None:
    service = Service(Limits.aws_account())
    pool_id = service.ready_pool()
    members = {"IdentityPoolId": pool_id} if operation == "GetId" else {"IdentityId": service.guest(pool_id)}
    service.time.now += 10
    for _ in range(rate):
        service(operation, **members)
    assert refusal(service, operation, **members) == ("TooManyRequestsException", "Rate exceeded")
    service.time.now += 2 / rate
    service(operation, **members)


def test_without_account_quotas_many_guests_come_at_once(service: Service) -> None:
    pool_id = service.pool()
    for _ in range(500):
        service.guest(pool_id)


def test_memory_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    pool_id = service.ready_pool()
    monkeypatch.setattr(cognito_pools, "MAX_IDENTITIES", 3)
    monkeypatch.setattr(cognito, "MAX_LIVE_CREDENTIALS", 2)
    guests = [service.guest(pool_id) for _ in range(3)]
    assert refusal(service, "GetId", IdentityPoolId=pool_id)[0] == "LimitExceededException"
    for identity_id in guests[:2]:
        service("GetCredentialsForIdentity", IdentityId=identity_id)
    code, _ = refusal(service, "GetCredentialsForIdentity", IdentityId=guests[2])
    assert code == "TooManyRequestsException"


# --- pools


def test_a_pool_is_described_updated_and_deleted(service: Service) -> None:
    providers = {"graph.facebook.com": "123"}
    pool_id = service.pool(SupportedLoginProviders=providers, IdentityPoolTags={"a": "b"}, AllowClassicFlow=True)
    described = service("DescribeIdentityPool", IdentityPoolId=pool_id)
    assert described == {
        "IdentityPoolId": pool_id,
        "IdentityPoolName": "chat",
        "AllowUnauthenticatedIdentities": True,
        "AllowClassicFlow": True,
        "SupportedLoginProviders": providers,
        "IdentityPoolTags": {"a": "b"},
    }
    updated = service(
        "UpdateIdentityPool", IdentityPoolId=pool_id, IdentityPoolName="other", AllowUnauthenticatedIdentities=False
    )
    assert updated == {
        "IdentityPoolId": pool_id,
        "IdentityPoolName": "other",
        "AllowUnauthenticatedIdentities": False,
        "IdentityPoolTags": {"a": "b"},
    }
    assert service("DescribeIdentityPool", IdentityPoolId=pool_id) == updated
    assert service("DeleteIdentityPool", IdentityPoolId=pool_id) == {}
    for operation in ("DescribeIdentityPool", "DeleteIdentityPool", "GetIdentityPoolRoles"):
        assert refusal(service, operation, IdentityPoolId=pool_id)[0] == "ResourceNotFoundException"


def test_roles_are_kept(service: Service) -> None:
    pool_id = service.pool()
    assert service("GetIdentityPoolRoles", IdentityPoolId=pool_id) == {"IdentityPoolId": pool_id}
    roles = {"unauthenticated": ROLE, "authenticated": f"{ROLE}2"}
    mappings = {"graph.facebook.com": {"Type": "Token", "AmbiguousRoleResolution": "Deny"}}
    service("SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles=roles, RoleMappings=mappings)
    assert service("GetIdentityPoolRoles", IdentityPoolId=pool_id) == {
        "IdentityPoolId": pool_id,
        "Roles": roles,
        "RoleMappings": mappings,
    }
    service("SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles={})
    assert service("GetIdentityPoolRoles", IdentityPoolId=pool_id) == {"IdentityPoolId": pool_id}


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        ({"guest": ROLE}, "ValidationException"),
        ({"unauthenticated": "short"}, "ValidationException"),
        ({"unauthenticated": "arn:aws:iam::123456789012:user/somebody"}, "InvalidParameterException"),
        ({"unauthenticated": None}, "SerializationException"),
        ([ROLE], "SerializationException"),
    ],
)
def test_what_is_no_role_is_refused(service: Service, roles: Any, code: str) -> None:
    pool_id = service.pool()
    assert refusal(service, "SetIdentityPoolRoles", IdentityPoolId=pool_id, Roles=roles)[0] == code


def test_pools_belong_to_their_region(service: Service) -> None:
    pool_id = service.pool()
    assert refusal(service, "DescribeIdentityPool", "us-east-1", IdentityPoolId=pool_id)[0] == (
        "ResourceNotFoundException"
    )
    assert service("ListIdentityPools", "us-east-1", MaxResults=60) == {"IdentityPools": []}
    assert refusal(
        service, "CreateIdentityPool", "nowhere", IdentityPoolName="x", AllowUnauthenticatedIdentities=True
    ) == ("InvalidParameterException", "'nowhere' is no AWS region")
    assert service.guest(pool_id).startswith(f"{REGION}:")


def test_pools_are_listed_in_pages(service: Service) -> None:
    names = [f"pool {number}" for number in range(5)]
    for name in names:
        service.pool(name)
    found = []
    members: dict[str, Any] = {"MaxResults": 2}
    for _ in range(3):
        page = service("ListIdentityPools", **members)
        found += [each["IdentityPoolName"] for each in page["IdentityPools"]]
        members["NextToken"] = page.get("NextToken")
    assert found == names
    assert members["NextToken"] is None


def test_an_account_has_a_thousand_pools(service: Service) -> None:
    for _ in range(1000):
        service.pool()
    assert (
        refusal(service, "CreateIdentityPool", IdentityPoolName="one more", AllowUnauthenticatedIdentities=True)[0]
        == "LimitExceededException"
    )


def test_tags_come_and_go(service: Service) -> None:
    pool_id = service.pool(IdentityPoolTags={"a": "1"})
    arn = f"arn:aws:cognito-identity:{REGION}:{ACCOUNT}:identitypool/{pool_id}"
    service("TagResource", ResourceArn=arn, Tags={"a": "2", "b": ""})
    assert service("ListTagsForResource", ResourceArn=arn) == {"Tags": {"a": "2", "b": ""}}
    service("UntagResource", ResourceArn=arn, TagKeys=["a", "none"])
    assert service("ListTagsForResource", ResourceArn=arn) == {"Tags": {"b": ""}}
    assert refusal(service, "TagResource", ResourceArn=arn, Tags={"aws:x": "y"})[0] == "InvalidParameterException"
    many = {str(number): "" for number in range(50)}
    assert refusal(service, "TagResource", ResourceArn=arn, Tags=many)[0] == "InvalidParameterException"
    for other in (arn.replace(ACCOUNT, "210987654321"), "arn:aws:iam::123456789012:role/x", arn[4:]):
        assert refusal(service, "ListTagsForResource", ResourceArn=other)[0] == "InvalidParameterException"
    gone = arn.replace(pool_id, f"{REGION}:0")
    assert refusal(service, "ListTagsForResource", ResourceArn=gone)[0] == "ResourceNotFoundException"


# --- identities


def test_identities_are_listed_in_pages_that_survive_deletions(service: Service) -> None:
    pool_id = service.pool()
    guests = [service.guest(pool_id) for _ in range(7)]
    first = service("ListIdentities", IdentityPoolId=pool_id, MaxResults=3)
    assert [each["IdentityId"] for each in first["Identities"]] == guests[:3]
    service("DeleteIdentities", IdentityIdsToDelete=guests[1:4])
    second = service("ListIdentities", IdentityPoolId=pool_id, MaxResults=3, NextToken=first["NextToken"])
    assert [each["IdentityId"] for each in second["Identities"]] == guests[4:]
    assert "NextToken" not in second


def test_an_identity_is_described(service: Service) -> None:
    identity_id = service.guest(service.pool())
    described = service("DescribeIdentity", IdentityId=identity_id)
    assert described == {
        "IdentityId": identity_id,
        "Logins": [],
        "CreationDate": service.time.now,
        "LastModifiedDate": service.time.now,
    }
    assert refusal(service, "DescribeIdentity", "us-east-1", IdentityId=identity_id)[0] == "ResourceNotFoundException"


def test_identities_are_deleted_60_at_a_time(service: Service) -> None:
    pool_id = service.pool()
    guests = [service.guest(pool_id) for _ in range(61)]
    assert refusal(service, "DeleteIdentities", IdentityIdsToDelete=guests)[0] == "ValidationException"
    assert refusal(service, "DeleteIdentities", IdentityIdsToDelete=[])[0] == "ValidationException"
    foreign = "us-west-2:00000000-0000-0000-0000-000000000000"
    answer = service("DeleteIdentities", IdentityIdsToDelete=[*guests[:59], foreign])
    assert answer == {"UnprocessedIdentityIds": [{"IdentityId": foreign, "ErrorCode": "AccessDenied"}]}
    left = service("ListIdentities", IdentityPoolId=pool_id, MaxResults=60)["Identities"]
    assert [each["IdentityId"] for each in left] == guests[59:]


def test_a_deleted_pool_takes_its_identities_with_it(service: Service) -> None:
    kept, gone = service.ready_pool(), service.pool()
    stays, leaves = service.guest(kept), service.guest(gone)
    service("DeleteIdentityPool", IdentityPoolId=gone)
    assert refusal(service, "DescribeIdentity", IdentityId=leaves)[0] == "ResourceNotFoundException"
    assert service("DescribeIdentity", IdentityId=stays)["IdentityId"] == stays


@pytest.mark.parametrize("token", ["x", "!!!", "cG9vbHM6MQ", "aWRlbnRpdGllczot", "aWRlbnRpdGllczpA", "é", "a" * 60_000])
def test_a_token_of_somebody_else_is_refused(service: Service, token: str) -> None:
    pool_id = service.pool()
    code, _ = refusal(service, "ListIdentities", IdentityPoolId=pool_id, MaxResults=1, NextToken=token)
    assert code == "InvalidParameterException"


# --- bad input


@pytest.mark.parametrize(
    ("operation", "members", "code", "words"),
    [
        ("GetId", {}, "ValidationException", "identityPoolId"),
        ("GetId", {"IdentityPoolId": None}, "ValidationException", "must not be null"),
        ("GetId", {"IdentityPoolId": ""}, "ValidationException", "length"),
        ("GetId", {"IdentityPoolId": "x"}, "ValidationException", "regular expression"),
        ("GetId", {"IdentityPoolId": "é:0"}, "ValidationException", "regular expression"),
        ("GetId", {"IdentityPoolId": "a:" + "0" * 60}, "ValidationException", "length"),
        ("GetId", {"IdentityPoolId": 1}, "SerializationException", "NUMBER_VALUE"),
        ("GetId", {"IdentityPoolId": True}, "SerializationException", "BOOLEAN_VALUE"),
        ("GetId", {"IdentityPoolId": ["a:0"]}, "SerializationException", "START_ARRAY"),
        ("GetId", {"IdentityPoolId": {}}, "SerializationException", "START_OBJECT"),
        ("GetId", {"IdentityPoolId": "a:0", "Other": 1}, "ValidationException", "Other"),
        ("GetId", {"IdentityPoolId": "a:0", "Logins": {str(n): "t" for n in range(11)}}, "ValidationException", "10"),
        ("ListIdentityPools", {"MaxResults": 0}, "ValidationException", "greater than or equal to 1"),
        ("ListIdentityPools", {"MaxResults": 61}, "ValidationException", "less than or equal to 60"),
        ("ListIdentityPools", {"MaxResults": 10**400}, "ValidationException", "less than or equal to 60"),
        ("ListIdentityPools", {"MaxResults": True}, "SerializationException", "Integer"),
        ("ListIdentityPools", {"MaxResults": 1.5}, "SerializationException", "Integer"),
        (
            "CreateIdentityPool",
            {"IdentityPoolName": "<script>", "AllowUnauthenticatedIdentities": True},
            "ValidationException",
            "identityPoolName",
        ),
        (
            "CreateIdentityPool",
            {"IdentityPoolName": "x", "AllowUnauthenticatedIdentities": "true"},
            "SerializationException",
            "Boolean",
        ),
        ("Nothing", {}, "UnknownOperationException", "Nothing"),
    ],
)
def test_bad_input_is_refused_as_aws_does(
    service: Service, operation: str, members: dict[str, Any], code: str, words: str
) -> None:
    found, message = refusal(service, operation, **members)
    assert found == code
    assert words in message


@pytest.mark.parametrize(
    "operation",
    [
        "GetOpenIdTokenForDeveloperIdentity",
        "GetPrincipalTagAttributeMap",
        "LookupDeveloperIdentity",
        "MergeDeveloperIdentities",
        "SetPrincipalTagAttributeMap",
        "UnlinkDeveloperIdentity",
    ],
)
def test_developer_identities_are_not_part_of_the_stack(service: Service, operation: str) -> None:
    with pytest.raises(ApiError) as caught:
        service(operation)
    assert (caught.value.code, caught.value.status) == ("NotImplementedException", 501)
    assert operation in caught.value.message


def test_every_operation_of_the_model_is_answered_or_named(service: Service) -> None:
    operations = service.cognito._shapes.operations
    assert len(operations) == 23
    for operation in operations:
        with pytest.raises(ApiError) as caught:
            service(operation, Unknown=1)
        assert caught.value.code in {"ValidationException", "NotImplementedException"}


def outcome(call: Callable[[], dict[str, Any]]) -> tuple[str | None, int]:
    """What would go over the wire: the answer's JSON, or the refusal's status."""
    try:
        return json.dumps(call()), 200
    except ApiError as refused:
        return None, refused.status


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["a:0", f"{REGION}:00"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_input_breaks_an_operation(data: st.DataObject) -> None:
    service = Service()
    operation = data.draw(st.sampled_from(sorted(service.cognito._operations)))
    names = sorted(
        service.cognito._shapes._shapes[service.cognito._shapes._operations[operation]["input"]["shape"]]["members"]
    )
    members = data.draw(st.dictionaries(st.sampled_from(names), json_values))
    answered, status = outcome(lambda: service.cognito.call(operation, members, REGION))
    assert answered is not None or status == 400
