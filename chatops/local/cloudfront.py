"""CloudFront: what publishing a page needs of it, kept to the letter where a caller can go wrong.

moto's knows no response headers policies, forgets which origin access control an origin has, and takes any ETag. Here
a stale ETag is refused, what is in use cannot be deleted, and a distribution must be disabled, and deployed so, before
it goes. Operations beyond these are moto's.
"""

import re
import secrets
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from chatops.local import cloudfront_xml as xml
from chatops.local.aws_errors import ApiError
from chatops.local.aws_requests import Request
from chatops.local.bucket_reading import BucketReader
from chatops.local.edge import Edge, Served
from chatops.local.moto_bridge import Answer

DEPLOY_S = 0.1
"""How long a distribution is InProgress after a change; AWS takes some minutes."""

_PATH = re.compile(
    r"/2020-05-31/(distribution|origin-access-control|response-headers-policy|tagging)"
    r"(?:/([A-Za-z0-9-]{1,64}))?(?:/(config|invalidation)(?:/([A-Z0-9]{1,64}))?)?"
)
_MOST = 100
_LONGEST_NAME = {"origin-access-control": 64, "response-headers-policy": 128}
_CONFIGS = {
    "origin-access-control": ("OriginAccessControl", "OriginAccessControlConfig"),
    "response-headers-policy": ("ResponseHeadersPolicy", "ResponseHeadersPolicyConfig"),
}
_KNOWN_HEADERS = {
    "ContentSecurityPolicy/ContentSecurityPolicy": "Content-Security-Policy",
    "FrameOptions/FrameOption": "X-Frame-Options",
    "ReferrerPolicy/ReferrerPolicy": "Referrer-Policy",
}


@dataclass(slots=True)
class _Distribution:
    arn: str
    domain: str
    config: ET.Element
    changed_at: float
    etag: str
    tags: dict[str, str] = field(default_factory=dict)
    invalidations: dict[str, ET.Element] = field(default_factory=dict)


@dataclass(slots=True)
class _Shared:
    """An origin access control or a response headers policy."""

    config: ET.Element
    etag: str


class CloudFront:
    """The service.

    Args:
        account: whose distributions.
        monotonic: seconds that never go back.
        on_activity: called when somebody looks at a published page.
    """

    def __init__(
        self, *, account: str, reader: BucketReader, monotonic: Callable[[], float], on_activity: Callable[[], None]
    ) -> None:
        self._account = account
        self._monotonic = monotonic
        self._edge = Edge(reader, self._served, on_activity)
        self._distributions: dict[str, _Distribution] = {}
        self._references: dict[str, str] = {}
        self._shared: dict[str, dict[str, _Shared]] = {kind: {} for kind in _CONFIGS}

    async def stop(self) -> None:
        """End what distributions listen on."""
        await self._edge.close_all()

    async def call(self, request: Request) -> Answer | None:
        """Answer a request; None when it is none of those operations.

        Raises:
            ApiError: as CloudFront refuses it.
        """
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        kind, resource, part, inner = found.groups()
        if kind == "tagging":
            return self._tagging(request)
        if kind == "distribution":
            if part == "invalidation":
                return self._invalidation(request, resource or "", inner)
            return await self._distribution(request, resource, part)
        return self._shared_resource(request, kind, resource, part)

    # --- distributions

    async def _distribution(self, request: Request, resource: str | None, part: str | None) -> Answer | None:
        match (request.method, resource, part):
            case ("POST", None, None):
                return await self._create(request)
            case ("GET", None, None):
                return self._listed(request, "DistributionList", self._summaries())
            case ("GET", str(), None):
                return self._described(resource, 200)
            case ("GET", str(), "config"):
                found = self._known(resource)
                return _answer(200, found.config, found.etag)
            case ("PUT", str(), "config"):
                return self._update(request, resource)
            case ("DELETE", str(), None):
                return await self._delete(request, resource)
            case _:
                return None

    async def _create(self, request: Request) -> Answer:
        if "WithTags" in request.parameters():
            document = xml.read(request.body, "DistributionConfigWithTags")
            config = document.find("DistributionConfig")
            tags = {xml.text(tag, "Key"): xml.text(tag, "Value") for tag in document.iterfind("Tags/Items/Tag")}
            if config is None:
                raise ApiError("InvalidArgument", "DistributionConfigWithTags lacks DistributionConfig")
        else:
            config, tags = xml.read(request.body, "DistributionConfig"), {}
        self._check(config)
        reference = xml.text(config, "CallerReference")
        if reference in self._references:
            raise ApiError(
                "DistributionAlreadyExists",
                f"The caller reference you provided was used for {self._references[reference]}",
                409,
            )
        resource = _new_id()
        xml.fill_in(config)
        self._references[reference] = resource
        domain = await self._edge.open(resource)
        arn = f"arn:aws:cloudfront::{self._account}:distribution/{resource}"
        self._distributions[resource] = _Distribution(arn, domain, config, self._monotonic(), _new_id(), tags)
        return self._described(resource, 201)

    def _update(self, request: Request, resource: str) -> Answer:
        found = self._known(resource)
        _check_etag(request, found.etag)
        config = xml.read(request.body, "DistributionConfig")
        self._check(config)
        if xml.text(config, "CallerReference") != xml.text(found.config, "CallerReference"):
            raise ApiError("IllegalUpdate", "The caller reference cannot be changed")
        xml.fill_in(config)
        found.config, found.etag, found.changed_at = config, _new_id(), self._monotonic()
        return self._described(resource, 200)

    async def _delete(self, request: Request, resource: str) -> Answer:
        found = self._known(resource)
        _check_etag(request, found.etag)
        if xml.text(found.config, "Enabled") == "true" or self._status(found) != "Deployed":
            raise ApiError("DistributionNotDisabled", "The distribution is not disabled, or not yet everywhere", 409)
        del self._distributions[resource]
        await self._edge.close(resource)
        return _answer(204)

    def _check(self, config: ET.Element) -> None:
        origins = {xml.text(origin, "Id"): origin for origin in config.iterfind("Origins/Items/Origin")}
        if xml.text(config, "DefaultCacheBehavior/TargetOriginId") not in origins:
            raise ApiError("NoSuchOrigin", "The default cache behavior names an origin that does not exist", 404)
        for origin in origins.values():
            control = xml.text(origin, "OriginAccessControlId")
            if control and control not in self._shared["origin-access-control"]:
                raise ApiError("InvalidOriginAccessControl", "The origin access control does not exist")
            is_s3 = xml.text(origin, "DomainName").endswith(".amazonaws.com")
            if origin.find("S3OriginConfig") is not None and not is_s3:
                raise ApiError("InvalidArgument", "The origin's domain name is not an S3 bucket's")
        policy = xml.text(config, "DefaultCacheBehavior/ResponseHeadersPolicyId")
        if policy and policy not in self._shared["response-headers-policy"]:
            raise ApiError("NoSuchResponseHeadersPolicy", "The response headers policy does not exist", 404)

    def _known(self, resource: str) -> _Distribution:
        if resource not in self._distributions:
            raise ApiError("NoSuchDistribution", "The specified distribution does not exist.", 404)
        return self._distributions[resource]

    def _status(self, found: _Distribution) -> str:
        return "Deployed" if self._monotonic() - found.changed_at >= DEPLOY_S else "InProgress"

    def _described(self, resource: str, status: int) -> Answer:
        found = self._known(resource)
        document = xml.make(
            "Distribution",
            found.config,
            Id=resource,
            ARN=found.arn,
            Status=self._status(found),
            LastModifiedTime=_now(),
            InProgressInvalidationBatches=0,
            DomainName=found.domain,
        )
        return _answer(status, document, found.etag)

    def _summaries(self) -> Iterator[tuple[str, ET.Element]]:
        for resource, found in self._distributions.items():
            yield (
                resource,
                xml.make(
                    "DistributionSummary",
                    *xml.summary(found.config),
                    Id=resource,
                    ARN=found.arn,
                    Status=self._status(found),
                    LastModifiedTime=_now(),
                    DomainName=found.domain,
                ),
            )

    def _invalidation(self, request: Request, resource: str, inner: str | None) -> Answer | None:
        found = self._known(resource)
        match (request.method, inner):
            case ("POST", None):
                batch = xml.read(request.body, "InvalidationBatch")
                inner = _new_id()
                found.invalidations[inner] = xml.make(
                    "Invalidation", batch, Id=inner, Status="Completed", CreateTime=_now()
                )
                return _answer(201, found.invalidations[inner])
            case ("GET", str()) if inner in found.invalidations:
                return _answer(200, found.invalidations[inner])
            case ("GET", str()):
                raise ApiError("NoSuchInvalidation", "The specified invalidation does not exist.", 404)
            case ("GET", None):
                entries = (
                    (name, xml.make("InvalidationSummary", Id=name, Status="Completed", CreateTime=_now()))
                    for name in found.invalidations
                )
                return self._listed(request, "InvalidationList", entries)
            case _:
                return None

    def _tagging(self, request: Request) -> Answer | None:
        parameters = request.parameters()
        arn = parameters.get("Resource", "")
        found = next((entry for entry in self._distributions.values() if entry.arn == arn), None)
        if found is None:
            raise ApiError("NoSuchResource", "The specified resource does not exist.", 404)
        match (request.method, parameters.get("Operation")):
            case ("GET", None):
                tags = (xml.make("Tag", Key=key, Value=value) for key, value in found.tags.items())
                return _answer(200, xml.make("Tags", xml.make("Items", *tags)))
            case ("POST", "Tag"):
                document = xml.read(request.body, "Tags")
                found.tags |= {xml.text(tag, "Key"): xml.text(tag, "Value") for tag in document.iterfind("Items/Tag")}
                return _answer(204)
            case ("POST", "Untag"):
                document = xml.read(request.body, "TagKeys")
                for key in document.iterfind("Items/Key"):
                    found.tags.pop(key.text or "", None)
                return _answer(204)
            case _:
                return None

    # --- origin access controls and response headers policies, which work alike

    def _shared_resource(self, request: Request, kind: str, resource: str | None, part: str | None) -> Answer | None:
        known = self._shared[kind]
        match (request.method, resource):
            case ("POST", None):
                config = self._shared_config(request, kind, None)
                resource = _new_id()
                known[resource] = _Shared(config, _new_id())
                return self._shown(kind, resource, 201)
            case ("GET", None):
                is_managed = request.parameters().get("Type") == "managed"  # AWS's own, of which there are none here
                return self._listed(
                    request, f"{_CONFIGS[kind][0]}List", () if is_managed else self._shared_summaries(kind)
                )
            case (_, str()) if resource not in known:
                raise ApiError(f"NoSuch{_CONFIGS[kind][0]}", "The specified resource does not exist.", 404)
            case ("GET", str()):
                if part == "config":
                    return _answer(200, known[resource].config, known[resource].etag)
                return self._shown(kind, resource, 200)
            case ("PUT", str()):
                _check_etag(request, known[resource].etag)
                known[resource] = _Shared(self._shared_config(request, kind, resource), _new_id())
                return self._shown(kind, resource, 200)
            case ("DELETE", str()):
                _check_etag(request, known[resource].etag)
                if any(element.text == resource for d in self._distributions.values() for element in d.config.iter()):
                    raise ApiError(f"{_CONFIGS[kind][0]}InUse", "A distribution uses it.", 409)
                del known[resource]
                return _answer(204)
            case _:
                return None

    def _shared_config(self, request: Request, kind: str, resource: str | None) -> ET.Element:
        name, root = _CONFIGS[kind]
        config = xml.read(request.body, root)
        wanted = xml.text(config, "Name")
        if not 0 < len(wanted) <= _LONGEST_NAME[kind]:
            raise ApiError("InvalidArgument", f"The name must have 1 to {_LONGEST_NAME[kind]} characters")
        if any(
            xml.text(entry.config, "Name") == wanted for key, entry in self._shared[kind].items() if key != resource
        ):
            raise ApiError(f"{name}AlreadyExists", f"There is one named {wanted} already", 409)
        return config

    def _shown(self, kind: str, resource: str, status: int) -> Answer:
        found = self._shared[kind][resource]
        return _answer(status, self._shared_document(kind, resource, found), found.etag)

    @staticmethod
    def _shared_document(kind: str, resource: str, found: _Shared) -> ET.Element:
        name = _CONFIGS[kind][0]
        if kind == "origin-access-control":
            return xml.make(name, found.config, Id=resource)
        return xml.make(name, found.config, Id=resource, LastModifiedTime=_now())

    def _shared_summaries(self, kind: str) -> Iterator[tuple[str, ET.Element]]:
        for resource, found in self._shared[kind].items():
            if kind == "origin-access-control":
                yield resource, xml.make("OriginAccessControlSummary", *found.config, Id=resource)
            else:
                document = self._shared_document(kind, resource, found)
                yield resource, xml.make("ResponseHeadersPolicySummary", document, Type="custom")

    @staticmethod
    def _listed(request: Request, root: str, entries: Iterable[tuple[str, ET.Element]]) -> Answer:
        parameters = request.parameters()
        most = parameters.get("MaxItems", "")
        size = min(_MOST, max(1, int(most))) if most.isdecimal() and len(most) < 9 else _MOST
        return _answer(200, xml.page_of(root, entries, parameters.get("Marker", ""), size))

    # --- for the edge

    def _served(self, resource: str) -> Served | None:
        found = self._distributions.get(resource)
        if found is None:
            return None
        config = found.config
        policy = self._shared["response-headers-policy"].get(
            xml.text(config, "DefaultCacheBehavior/ResponseHeadersPolicyId")
        )
        target = xml.text(config, "DefaultCacheBehavior/TargetOriginId")
        origin = next(o for o in config.iterfind("Origins/Items/Origin") if xml.text(o, "Id") == target)
        control = self._shared["origin-access-control"].get(xml.text(origin, "OriginAccessControlId"))
        return Served(
            arn=found.arn,
            enabled=xml.text(config, "Enabled") == "true",
            root=xml.text(config, "DefaultRootObject"),
            origin=xml.text(origin, "DomainName"),
            signs=control is not None and xml.text(control.config, "SigningBehavior") == "always",
            headers=_headers(policy.config) if policy else {},
        )


def _headers(config: ET.Element) -> dict[str, str]:
    """The headers that a response headers policy adds."""
    found = {}
    for path, name in _KNOWN_HEADERS.items():
        if value := xml.text(config, f"SecurityHeadersConfig/{path}"):
            found[name] = value
    if config.find("SecurityHeadersConfig/ContentTypeOptions") is not None:
        found["X-Content-Type-Options"] = "nosniff"
    for item in config.iterfind("CustomHeadersConfig/Items/ResponseHeadersPolicyCustomHeader"):
        found[xml.text(item, "Header")] = xml.text(item, "Value")
    return found


def _check_etag(request: Request, etag: str) -> None:
    given = request.fields.get("if-match")
    if given is None:
        raise ApiError("InvalidIfMatchVersion", "The If-Match version is missing or not valid for the resource.")
    if given != etag:
        raise ApiError("PreconditionFailed", "The given version is not the present one.", 412)


def _answer(status: int, document: ET.Element | None = None, etag: str | None = None) -> Answer:
    headers = [("Content-Type", "text/xml")]
    if etag is not None:
        headers.append(("ETag", etag))
    return Answer(status, tuple(headers), b"" if document is None else xml.write(document))


def _new_id() -> str:
    alphabet = string.ascii_uppercase + string.digits
    return "E" + "".join(secrets.choice(alphabet) for _ in range(13))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
