"""CloudFront's edge: a listener for each distribution, on a port of its own, so that each page has its own origin.

It does what a page depends on: the default root object, reading a private bucket as the bucket's policy lets this
very distribution, and the headers of its response headers policy. It does not cache, and speaks plain HTTP.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from aiohttp import web

from chatops.local.bucket_reading import ANYBODY, CLOUDFRONT, BucketReader

_SHUTDOWN_S = 1.0
_HOST = "127.0.0.1"
_BUCKET = re.compile(r"([a-z0-9.-]{3,63})\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com")
_KEPT = frozenset({"content-type", "cache-control", "etag", "last-modified", "content-length"})


@dataclass(frozen=True, slots=True)
class Served:
    """What a distribution serves.

    Attributes:
        origin: the origin's domain name.
        signs: whether requests to the origin are signed, by an origin access control.
        headers: added to every answer.
    """

    arn: str
    enabled: bool
    root: str
    origin: str
    signs: bool
    headers: Mapping[str, str]


class Edge:
    """The listeners.

    Args:
        look_up: what a distribution serves now; None when there is none of that id.
    """

    def __init__(
        self, reader: BucketReader, look_up: Callable[[str], Served | None], on_activity: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._look_up = look_up
        self._on_activity = on_activity
        self._runners: dict[str, web.ServerRunner] = {}

    async def open(self, distribution_id: str) -> str:
        """Listen for a distribution; returns its `host:port`."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            self._on_activity()
            return await self._answer(distribution_id, request)

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        await web.TCPSite(runner, _HOST, 0).start()
        self._runners[distribution_id] = runner
        return f"{_HOST}:{runner.addresses[0][1]}"

    async def close(self, distribution_id: str) -> None:
        """Listen no more."""
        runner = self._runners.pop(distribution_id, None)
        if runner is not None:
            await runner.cleanup()

    async def close_all(self) -> None:
        """End every listener."""
        for distribution_id in list(self._runners):
            await self.close(distribution_id)

    async def _answer(self, distribution_id: str, request: web.BaseRequest) -> web.Response:
        served = self._look_up(distribution_id)
        if served is None or not served.enabled:
            return web.Response(status=403, text="The distribution is disabled, or gone.\n")
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=403, text="This distribution is for GET and HEAD.\n")
        bucket = _BUCKET.fullmatch(served.origin)
        key = unquote(urlsplit(request.raw_path).path).removeprefix("/") or served.root
        found = None
        if bucket is not None and key:
            principal = CLOUDFRONT if served.signs else ANYBODY
            context = {"AWS:SourceArn": served.arn} if served.signs else {}
            found = await self._reader.read(bucket[1], key, principal, context, method=request.method)
        if found is None:
            return web.Response(status=403, text="Access Denied\n", headers=dict(served.headers))
        kept = {name.title(): value for name, value in found.headers if name.lower() in _KEPT}
        return web.Response(status=200, body=found.body, headers={**kept, **served.headers})
