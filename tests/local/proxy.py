"""A proxy between boto3 and the stack: records each action, refuses, throttles, or loses the answer to one."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import ClientSession, web
from yarl import URL

_OPERATIONS = {
    ("GET", "/endpoint"): "iot:DescribeEndpoint",
}


_KEPT = {"content-type", "etag", "location", "cache-control", "last-modified", "x-amz-bucket-region"} | {
    "x-amz-meta-chatops-sha256"
}
_BUCKET = {"tagging": "BucketTagging", "policy": "BucketPolicy", "website": "BucketWebsite"} | {
    "publicAccessBlock": "BucketPublicAccessBlock"
}
_CLOUDFRONT = {
    "distribution": "Distribution",
    "origin-access-control": "OriginAccessControl",
    "response-headers-policy": "ResponseHeadersPolicy",
}
_LISTS = {"ResponseHeadersPolicy": "ListResponseHeadersPolicies"}


@dataclass
class Proxy:
    """What the proxy does; changed by tests while it runs."""

    upstream: str
    url: str = ""
    actions: list[str] = field(default_factory=list)
    deny: str | None = None
    lose: str | None = None
    lose_after: int = 0
    before: Callable[[str], None] | None = None
    throttle: dict[str, int] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)

    def count(self, action: str) -> int:
        return self.actions.count(action)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = await request.read()
        action = _action(request, body)
        self.actions.append(action)
        json_form = "X-Amz-Target" in request.headers or action.startswith("iot:")
        if self.before is not None:
            self.before(action)
        if action == self.deny:
            return _error(
                action, json_form, "AccessDeniedException" if json_form else "AccessDenied", 400 if json_form else 403
            )
        times, code = self.refuse.get(action, (0, ""))
        if times:
            self.refuse[action] = (times - 1, code)
            return _error(action, json_form, code, 400)
        if self.throttle.get(action, 0) > 0:
            self.throttle[action] -= 1
            return _error(action, json_form, "ThrottlingException" if json_form else "Throttling", 400)
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                data=body,
                headers=[
                    (name, value)
                    for name, value in request.headers.items()
                    if name.lower() not in {"content-length", "expect"}
                ],
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            ) as answer,
        ):
            raw = await answer.read()
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() in _KEPT or name.lower().startswith("access-control-")
            }
            if request.method == "HEAD":
                headers["Content-Length"] = answer.headers.get("Content-Length", "0")
        if action == self.lose and self.count(action) > self.lose_after:
            # The stack did what was asked; the caller never learns.
            if request.transport is not None:
                request.transport.close()
            raise asyncio.CancelledError
        return web.Response(status=answer.status, body=raw, headers=headers)


def _action(request: web.BaseRequest, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return f"cognito-identity:{target.rpartition('.')[2]}"
    if (request.method, request.path) in _OPERATIONS:
        return _OPERATIONS[request.method, request.path]
    if request.path.startswith("/topics/"):
        return "iot:Publish"
    authorization = request.headers.get("Authorization", "")
    if "/s3/aws4_request" in authorization:
        return f"s3:{_s3(request)}"
    if "/cloudfront/aws4_request" in authorization:
        return f"cloudfront:{_cloudfront(request)}"
    name = parse_qs(body.decode("utf-8", "replace")).get("Action", ["?"])[0]
    return f"{'sts' if name == 'GetCallerIdentity' else 'iam'}:{name}"


def _s3(request: web.BaseRequest) -> str:
    """The IAM action of a request to S3, by the Service Authorization Reference."""
    method, query = request.method, request.query
    if request.path == "/":
        return "ListAllMyBuckets"
    if request.path.strip("/").count("/"):
        return {"PUT": "PutObject", "DELETE": "DeleteObject"}.get(method, "GetObject")
    for key, name in _BUCKET.items():
        if key in query:
            verb = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}[method]
            return f"{verb}{name}"
    if "versions" in query:
        return "ListBucketVersions"
    if "delete" in query:
        return "DeleteObjectVersion"
    return {"PUT": "CreateBucket", "DELETE": "DeleteBucket"}.get(method, "ListBucket")


def _cloudfront(request: web.BaseRequest) -> str:
    """The IAM action of a request to CloudFront."""
    kind, _, rest = request.path.removeprefix("/2020-05-31/").partition("/")
    if kind == "tagging":
        return "ListTagsForResource" if request.method == "GET" else "TagResource"
    if rest.endswith("/invalidation"):
        return "CreateInvalidation"
    name = _CLOUDFRONT[kind]
    if request.method == "GET" and not rest:
        return _LISTS.get(name, f"List{name}s")
    return {"GET": "Get", "POST": "Create", "PUT": "Update", "DELETE": "Delete"}[request.method] + name


def _error(action: str, json_form: bool, code: str, status: int) -> web.Response:  # noqa: FBT001
    if json_form:
        return web.json_response({"__type": code, "message": "no"}, status=status, headers={"x-amzn-errortype": code})
    if action.startswith("s3:"):
        return web.Response(
            status=status, text=f"<Error><Code>{code}</Code><Message>no</Message></Error>", content_type="text/xml"
        )
    text = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    )
    return web.Response(status=status, text=text, content_type="text/xml")


@contextmanager
def running_proxy(upstream: str) -> Generator[Proxy]:
    proxy = Proxy(upstream)
    loop = asyncio.new_event_loop()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(proxy.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
