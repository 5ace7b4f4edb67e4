import pytest

from chatops.chat.iam import Decision, RequestPrincipal, evaluate, parse_policy
from chatops.environment import Environment
from chatops.errors import UsageError
from chatops.infra.page import TAG_PAGE, Host, Placement, bucket_policy, check_bucket_name, page_url, placement_of
from chatops.infra.resources import Desired


def desired(name: str = "production", region: str = "eu-west-1", **more: object) -> Desired:
    return Desired(name=name, region=region, account="111122223333", gateway="", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["p", "Production_2", "a" * 40, "A-", "a_-_b"])
@pytest.mark.parametrize("region", ["eu-west-1", "ap-southeast-7", "us-gov-west-1"])
def test_every_environment_has_a_bucket_name_that_s3_takes(name: str, region: str) -> None:
    bucket = desired(name, region).page_name
    assert check_bucket_name(bucket, Host.CLOUDFRONT) == bucket


def test_environments_of_one_name_in_other_places_have_other_buckets() -> None:
    assert desired().page_name == desired().page_name
    names = {desired().page_name, desired(region="eu-west-2").page_name, desired("Production").page_name}
    assert len(names) == 3


def test_the_role_remembers_better_than_the_file() -> None:
    file = Environment("x", "g", "p", "eu-west-1", site={"bucket": "old", "distribution": "E1", "url": "https://x/"})
    assert placement_of({TAG_PAGE: "website/new"}, file) == Placement(Host.WEBSITE, "new")
    assert placement_of({}, file) == Placement(Host.CLOUDFRONT, "old")
    assert placement_of({TAG_PAGE: "nonsense"}, None) is None
    assert placement_of({TAG_PAGE: "ftp/bucket"}, None) is None
    assert placement_of({}, None) is None


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "http://b-1.s3-website-eu-west-1.amazonaws.com/"),
        ("eu-central-1", "http://b-1.s3-website.eu-central-1.amazonaws.com/"),
        ("cn-north-1", "http://b-1.s3-website.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_a_websites_address_is_written_as_its_region_has_it(region: str, url: str) -> None:
    assert page_url(desired(region=region), Placement(Host.WEBSITE, "b-1"), None) == url


def test_a_distributions_address() -> None:
    placement = Placement(Host.CLOUDFRONT, "b-1")
    assert page_url(desired(), placement, "d1.cloudfront.net") == "https://d1.cloudfront.net/"
    assert page_url(desired(), placement, "127.0.0.1:8000") == "http://127.0.0.1:8000/"


def test_only_the_one_distribution_may_read_a_private_bucket() -> None:
    policy = parse_policy(bucket_policy(desired(), Placement(Host.CLOUDFRONT, "b-1"), "arn:mine"))

    def may(principal: RequestPrincipal, context: dict[str, str], action: str = "s3:GetObject") -> bool:
        decision = evaluate(
            [policy], action=action, resource="arn:aws:s3:::b-1/index.html", context=context, principal=principal
        )
        return decision is Decision.ALLOW

    service = RequestPrincipal("Service", "cloudfront.amazonaws.com")
    assert may(service, {"AWS:SourceArn": "arn:mine"})
    assert not may(service, {"AWS:SourceArn": "arn:theirs"})
    assert not may(service, {})
    assert not may(service, {"AWS:SourceArn": "arn:mine"}, "s3:PutObject")
    assert not may(RequestPrincipal("AWS", "*"), {"AWS:SourceArn": "arn:mine"})


def test_dots_are_for_websites_only() -> None:
    assert check_bucket_name("chat.example.org", Host.WEBSITE) == "chat.example.org"
    with pytest.raises(UsageError):
        check_bucket_name("chat.example.org", Host.CLOUDFRONT)
