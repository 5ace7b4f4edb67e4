"""Reading objects of S3 as somebody who does not sign with the operator's keys: anybody, or CloudFront.

moto keeps the objects but judges nobody, so the bucket's policy and its public access block are judged here.
"""

import json
from urllib.parse import quote
from xml.etree import ElementTree as ET

from chatops.chat.iam import Decision, PolicyError, RequestPrincipal, evaluate, parse_policy
from chatops.chat.iam_patterns import Context
from chatops.local.aws_errors import Protocol
from chatops.local.aws_requests import Call, Request
from chatops.local.moto_bridge import Answer, MotoBridge

ANYBODY = RequestPrincipal("AWS", "*")
CLOUDFRONT = RequestPrincipal("Service", "cloudfront.amazonaws.com")
_RESTRICT = "RestrictPublicBuckets"


class BucketReader:
    """Reads through moto.

    Args:
        access_key_id: the operator's, in whose name moto is asked.
    """

    def __init__(self, moto: MotoBridge, region: str, access_key_id: str) -> None:
        self._moto = moto
        self._region = region
        self._access_key_id = access_key_id

    async def read(
        self, bucket: str, key: str, principal: RequestPrincipal, context: Context, *, method: str = "GET"
    ) -> Answer | None:
        """Get an object, None where the bucket's policy does not let this principal.

        Whoever may not list the bucket is not told either that an object does not exist.
        """
        if not await self._may(bucket, key, principal, context):
            return None
        answer = await self._ask(method, f"/{quote(bucket)}/{quote(key)}")
        return answer if answer.status == 200 else None

    async def _may(self, bucket: str, key: str, principal: RequestPrincipal, context: Context) -> bool:
        found = await self._ask("GET", f"/{quote(bucket)}?policy")
        if found.status != 200:
            return False
        if principal == ANYBODY and await self._is_restricted(bucket):
            return False
        try:
            policy = parse_policy(json.loads(found.body))
        except (PolicyError, ValueError):
            return False
        resource = f"arn:aws:s3:::{bucket}/{key}"
        decision = evaluate([policy], action="s3:GetObject", resource=resource, context=context, principal=principal)
        return decision is Decision.ALLOW

    async def _is_restricted(self, bucket: str) -> bool:
        found = await self._ask("GET", f"/{quote(bucket)}?publicAccessBlock")
        if found.status != 200:
            return False
        document = ET.fromstring(found.body)  # noqa: S314  (moto's own answer)
        return any(element.tag.endswith(_RESTRICT) and element.text == "true" for element in document.iter())

    async def _ask(self, method: str, target: str) -> Answer:
        fields = {"host": "127.0.0.1"}
        request = Request(method, target, tuple(fields.items()), fields, b"")
        call = Call("s3", self._region, Protocol.S3, None, "header")
        return await self._moto.call(request, call, self._access_key_id)
