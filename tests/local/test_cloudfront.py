"""CloudFront in the local stack, with a stock client: what AWS refuses is refused."""

import time
from collections.abc import Generator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.control_plane_harness import RunningControlPlane, running_control_plane
from tests.local.test_site import get


@pytest.fixture(scope="module")
def plane() -> Generator[RunningControlPlane]:
    with running_control_plane() as running:
        yield running


def config(reference: str, **more: Any) -> dict[str, Any]:
    return {
        "CallerReference": reference,
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "page",
                    "DomainName": "some-bucket.s3.us-east-1.amazonaws.com",
                    "S3OriginConfig": {"OriginAccessIdentity": ""},
                }
            ],
        },
        "DefaultCacheBehavior": {"TargetOriginId": "page", "ViewerProtocolPolicy": "https-only"},
        **more,
    }


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


def deployed(client: Any, distribution: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        answer = client.get_distribution(Id=distribution)
        if answer["Distribution"]["Status"] == "Deployed":
            return str(answer["ETag"])
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_distribution_lives_and_dies_as_on_aws(plane: RunningControlPlane) -> None:
    client = plane.client("cloudfront")
    made = client.create_distribution(DistributionConfig=config("life"))
    found, etag = made["Distribution"], made["ETag"]
    assert found["Status"] == "InProgress"
    assert found["DistributionConfig"]["PriceClass"] == "PriceClass_All"  # what CloudFront fills in
    assert refusal(client.create_distribution, DistributionConfig=config("life")) == "DistributionAlreadyExists"
    identifier = found["Id"]
    assert refusal(client.delete_distribution, Id=identifier, IfMatch=etag) == "DistributionNotDisabled"
    changed = config("life", Enabled=False)
    assert refusal(client.update_distribution, Id=identifier, DistributionConfig=changed) == "InvalidIfMatchVersion"
    stale = {"Id": identifier, "IfMatch": "E0", "DistributionConfig": changed}
    assert refusal(client.update_distribution, **stale) == "PreconditionFailed"
    other = {"Id": identifier, "IfMatch": etag, "DistributionConfig": config("another")}
    assert refusal(client.update_distribution, **other) == "IllegalUpdate"
    second = client.update_distribution(Id=identifier, IfMatch=etag, DistributionConfig=changed)["ETag"]
    assert second != etag
    assert refusal(client.delete_distribution, Id=identifier, IfMatch=second) == "DistributionNotDisabled"
    client.delete_distribution(Id=identifier, IfMatch=deployed(client, identifier))
    assert refusal(client.get_distribution, Id=identifier) == "NoSuchDistribution"
    # whether AWS forgets the reference is not known; here it does not
    assert refusal(client.create_distribution, DistributionConfig=config("life")) == "DistributionAlreadyExists"


def test_what_is_in_use_stays(plane: RunningControlPlane) -> None:
    client = plane.client("cloudfront")
    control = client.create_origin_access_control(
        OriginAccessControlConfig={
            "Name": "used",
            "SigningProtocol": "sigv4",
            "SigningBehavior": "always",
            "OriginAccessControlOriginType": "s3",
        }
    )
    policy = client.create_response_headers_policy(ResponseHeadersPolicyConfig={"Name": "used"})
    control_id, policy_id = control["OriginAccessControl"]["Id"], policy["ResponseHeadersPolicy"]["Id"]
    wanted = config("uses")
    wanted["Origins"]["Items"][0]["OriginAccessControlId"] = control_id
    wanted["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] = policy_id
    identifier = client.create_distribution(DistributionConfig=wanted)["Distribution"]["Id"]
    kept = client.get_distribution(Id=identifier)["Distribution"]["DistributionConfig"]
    assert kept["Origins"]["Items"][0]["OriginAccessControlId"] == control_id
    assert kept["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] == policy_id
    gone = client.delete_origin_access_control
    assert refusal(gone, Id=control_id, IfMatch=control["ETag"]) == "OriginAccessControlInUse"
    gone = client.delete_response_headers_policy
    assert refusal(gone, Id=policy_id, IfMatch=policy["ETag"]) == "ResponseHeadersPolicyInUse"
    again = {"Name": "used"}
    code = refusal(client.create_response_headers_policy, ResponseHeadersPolicyConfig=again)
    assert code == "ResponseHeadersPolicyAlreadyExists"
    wanted["CallerReference"] = "uses-nothing"
    wanted["Origins"]["Items"][0]["OriginAccessControlId"] = "E404"
    assert refusal(client.create_distribution, DistributionConfig=wanted) == "InvalidOriginAccessControl"
    wanted["Origins"]["Items"][0]["OriginAccessControlId"] = control_id
    wanted["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] = "E404"
    assert refusal(client.create_distribution, DistributionConfig=wanted) == "NoSuchResponseHeadersPolicy"
    wanted["DefaultCacheBehavior"] |= {"ResponseHeadersPolicyId": policy_id, "TargetOriginId": "nobody"}
    assert refusal(client.create_distribution, DistributionConfig=wanted) == "NoSuchOrigin"


def test_lists_come_in_pages(plane: RunningControlPlane) -> None:
    client = plane.client("cloudfront")
    names = [f"paged-{number}" for number in range(5)]
    for name in names:
        client.create_response_headers_policy(ResponseHeadersPolicyConfig={"Name": name})
        client.create_distribution(DistributionConfig=config(name, Comment=name))
    pages = client.get_paginator("list_distributions").paginate(PaginationConfig={"PageSize": 2})
    comments = [item["Comment"] for page in pages for item in page["DistributionList"].get("Items", [])]
    assert [comment for comment in comments if comment.startswith("paged")] == names
    first = client.list_response_headers_policies(MaxItems="2")["ResponseHeadersPolicyList"]
    rest = client.list_response_headers_policies(Marker=first["NextMarker"])["ResponseHeadersPolicyList"]
    found = [
        item["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]["Name"]
        for page in (first, rest)
        for item in page["Items"]
    ]
    assert [name for name in found if name.startswith("paged")] == names
    assert client.list_response_headers_policies(Type="managed")["ResponseHeadersPolicyList"]["Quantity"] == 0


def test_tags_and_invalidations(plane: RunningControlPlane) -> None:
    client = plane.client("cloudfront")
    tags = {"Items": [{"Key": "team", "Value": "games"}]}
    request = {"DistributionConfig": config("tagged"), "Tags": tags}
    found = client.create_distribution_with_tags(DistributionConfigWithTags=request)["Distribution"]
    client.tag_resource(Resource=found["ARN"], Tags={"Items": [{"Key": "tier", "Value": "<&>"}]})
    client.untag_resource(Resource=found["ARN"], TagKeys={"Items": ["team"]})
    assert client.list_tags_for_resource(Resource=found["ARN"])["Tags"]["Items"] == [{"Key": "tier", "Value": "<&>"}]
    assert refusal(client.list_tags_for_resource, Resource=f"{found['ARN']}X") == "NoSuchResource"
    batch = {"Paths": {"Quantity": 1, "Items": ["/"]}, "CallerReference": "1"}
    made = client.create_invalidation(DistributionId=found["Id"], InvalidationBatch=batch)["Invalidation"]
    assert client.get_invalidation(DistributionId=found["Id"], Id=made["Id"])["Invalidation"]["Status"] == "Completed"
    wrong = {"Paths": {"Quantity": 2, "Items": ["/"]}, "CallerReference": "2"}
    code = refusal(client.create_invalidation, DistributionId=found["Id"], InvalidationBatch=wrong)
    assert code == "InconsistentQuantities"
    assert refusal(client.get_invalidation, DistributionId=found["Id"], Id="I0") == "NoSuchInvalidation"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"\xff\xfe",
        b"<DistributionConfig/>",
        b"<Other/>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><DistributionConfig>&b;</DistributionConfig>',
        b"<DistributionConfig>" + b"<a>" * 20_000,
    ],
)
def test_documents_that_are_none_are_refused(plane: RunningControlPlane, body: bytes) -> None:
    client = plane.client("cloudfront")

    def replace_body(request: Any, **_others: Any) -> None:
        request.data = body

    client.meta.events.register("before-sign.cloudfront.CreateDistribution", replace_body)
    try:
        code = refusal(client.create_distribution, DistributionConfig=config("hostile"))
    finally:
        client.meta.events.unregister("before-sign.cloudfront.CreateDistribution", replace_body)
    assert code in {"MalformedInput", "InvalidArgument"}


def test_a_private_bucket_shows_nothing_to_a_distribution_without_a_policy(plane: RunningControlPlane) -> None:
    s3, client = plane.client("s3"), plane.client("cloudfront")
    s3.create_bucket(Bucket="some-bucket")
    s3.put_object(Bucket="some-bucket", Key="index.html", Body=b"hello", ContentType="text/html")
    made = client.create_distribution(DistributionConfig=config("private", DefaultRootObject="index.html"))
    url = f"http://{made['Distribution']['DomainName']}/"
    assert get(url, "/")[0] == 403
    assert get(plane.url, "/some-bucket/index.html")[0] == 403
    everybody = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",'
        ' "Resource": "arn:aws:s3:::some-bucket/*"}]}'
    )
    s3.put_bucket_policy(Bucket="some-bucket", Policy=everybody)
    assert get(url, "/")[0] == 200
    status, _, body = get(plane.url, "/some-bucket/index.html")
    assert (status, body) == (200, b"hello")
    assert get(plane.url, "/some-bucket/other")[0] == 403
    assert get(plane.url, "/some-bucket/")[0] == 403
    assert get(plane.url, "/some-bucket/index.html", "PUT")[0] == 403
    assert get(url, "/%2e%2e/some-bucket/index.html")[0] == 403
    s3.put_public_access_block(Bucket="some-bucket", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert get(plane.url, "/some-bucket/index.html")[0] == 403
