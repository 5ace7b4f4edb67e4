"""CloudFront's XML: reading configurations, with the rules for them, and filling in what CloudFront fills in."""

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from chatops.local.aws_errors import ApiError

NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
_EMPTY = "<Quantity>0</Quantity>"
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "DistributionConfig": {
        "Aliases": _EMPTY,
        "DefaultRootObject": "",
        "OriginGroups": _EMPTY,
        "CacheBehaviors": _EMPTY,
        "CustomErrorResponses": _EMPTY,
        "Logging": "<Enabled>false</Enabled><IncludeCookies>false</IncludeCookies><Bucket/><Prefix/>",
        "PriceClass": "PriceClass_All",
        "ViewerCertificate": "<CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate>",
        "Restrictions": f"<GeoRestriction><RestrictionType>none</RestrictionType>{_EMPTY}</GeoRestriction>",
        "WebACLId": "",
        "HttpVersion": "http2",
        "IsIPV6Enabled": "false",
        "Staging": "false",
    },
    "Origin": {
        "OriginPath": "",
        "CustomHeaders": _EMPTY,
        "ConnectionAttempts": "3",
        "ConnectionTimeout": "10",
        "OriginShield": "<Enabled>false</Enabled>",
        "OriginAccessControlId": "",
    },
    "DefaultCacheBehavior": {
        "TrustedSigners": f"<Enabled>false</Enabled>{_EMPTY}",
        "TrustedKeyGroups": f"<Enabled>false</Enabled>{_EMPTY}",
        "SmoothStreaming": "false",
        "Compress": "false",
        "LambdaFunctionAssociations": _EMPTY,
        "FunctionAssociations": _EMPTY,
        "FieldLevelEncryptionId": "",
    },
}
"""What CloudFront answers where a request says nothing (CloudFront API reference)."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "DistributionConfig": ("CallerReference", "Origins", "DefaultCacheBehavior", "Comment", "Enabled"),
    "Origin": ("Id", "DomainName"),
    "DefaultCacheBehavior": ("TargetOriginId", "ViewerProtocolPolicy"),
    "OriginAccessControlConfig": ("Name", "SigningProtocol", "SigningBehavior", "OriginAccessControlOriginType"),
    "ResponseHeadersPolicyConfig": ("Name",),
    "InvalidationBatch": ("Paths", "CallerReference"),
}
_SUMMARY = (
    "Aliases",
    "Origins",
    "OriginGroups",
    "DefaultCacheBehavior",
    "CacheBehaviors",
    "CustomErrorResponses",
    "Comment",
    "PriceClass",
    "Enabled",
    "ViewerCertificate",
    "Restrictions",
    "WebACLId",
    "HttpVersion",
    "IsIPV6Enabled",
    "Staging",
)


def read(body: bytes, root: str) -> ET.Element:
    """Read a request's document; names lose their namespace.

    Raises:
        ApiError: it is not XML, not `root`, lacks something, or counts wrong.
    """
    if b"<!" in body:
        raise ApiError("MalformedInput", "The request has a document type, or comments")
    try:
        document = ET.fromstring(body)  # noqa: S314  (no document type, so no entities)
    except ET.ParseError as error:
        raise ApiError("MalformedInput", f"The request is not XML: {error}") from None
    for element in document.iter():
        element.tag = re.sub(r"^\{[^}]*\}", "", element.tag)
    if document.tag != root:
        raise ApiError("MalformedInput", f"The request must be a {root}")
    for element in document.iter():
        for name in _REQUIRED.get(element.tag, ()):
            if element.find(name) is None:
                raise ApiError("InvalidArgument", f"{element.tag} lacks {name}")
        quantity, items = element.find("Quantity"), element.find("Items")
        if quantity is not None and quantity.text != str(len(items) if items is not None else 0):
            raise ApiError("InconsistentQuantities", f"{element.tag}: the quantity is not the number of items")
    return document


def fill_in(config: ET.Element) -> None:
    """Add to a distribution's configuration what CloudFront adds."""
    for element in list(config.iter()):
        for name, inside in _DEFAULTS.get(element.tag, {}).items():
            if element.find(name) is None:
                element.append(ET.fromstring(f"<{name}>{inside}</{name}>"))  # noqa: S314  (ours)


def text(element: ET.Element, path: str) -> str:
    """The text at a path, empty where there is none."""
    return element.findtext(path) or ""


def make(tag: str, *children: ET.Element, **texts: object) -> ET.Element:
    """Make an element with texts, then children."""
    element = ET.Element(tag)
    for name, value in texts.items():
        ET.SubElement(element, name).text = str(value)
    element.extend(children)
    return element


def summary(config: ET.Element) -> list[ET.Element]:
    """Those parts of a distribution's configuration that a list shows."""
    return [found for name in _SUMMARY if (found := config.find(name)) is not None]


def page_of(root: str, entries: Iterable[tuple[str, ET.Element]], marker: str, most: int) -> ET.Element:
    """A list's page: the entries after `marker`, at most so many.

    Args:
        entries: each with its id, in order.
    """
    rest = list(entries)
    ids = [entry_id for entry_id, _ in rest]
    if marker:
        rest = rest[ids.index(marker) + 1 :] if marker in ids else []
    shown = rest[:most]
    page = make(root, Marker=marker, MaxItems=most, IsTruncated=str(len(rest) > most).lower(), Quantity=len(shown))
    if len(rest) > most:
        page.append(make("NextMarker"))
        page[-1].text = shown[-1][0]
    if shown:
        page.append(make("Items", *(element for _, element in shown)))
    return page


def write(element: ET.Element) -> bytes:
    """The document of an answer, in CloudFront's namespace."""
    element.set("xmlns", NAMESPACE)
    try:
        return bytes(ET.tostring(element, encoding="utf-8", xml_declaration=True))
    finally:
        del element.attrib["xmlns"]
