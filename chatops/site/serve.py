"""Serving a site on this machine, with the headers that it is published with."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit

from aiohttp import web

from chatops.errors import ConfigurationError
from chatops.site.build import INDEX, Site
from chatops.site.headers import cache_control, content_type, security_headers

_SHUTDOWN_S = 1.0


@asynccontextmanager
async def serving(site: Site, *, port: int = 0) -> AsyncGenerator[str]:
    """Serve `site` on the loopback interface; yields its URL.

    Args:
        port: 0 lets the system choose one.

    Raises:
        ConfigurationError: the port is taken.
    """
    always = security_headers(site.policy)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, text="Only GET and HEAD.\n", headers={**always, "Allow": "GET, HEAD"})
        path = unquote(urlsplit(request.raw_path).path).removeprefix("/") or INDEX
        body = site.files.get(path)
        if body is None:
            return web.Response(status=404, text="There is no such file.\n", headers=always)
        headers = {**always, "Content-Type": content_type(path), "Cache-Control": cache_control(path)}
        return web.Response(body=body, headers=headers)

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} cannot be used: {error.strerror}", "choose another with --port"
            ) from None
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
