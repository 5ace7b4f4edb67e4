"""`chatops connect-url`."""

import time
from typing import Annotated

import typer

from chatops.cli import options
from chatops.cli.context import open_environment, select
from chatops.errors import UsageError
from chatops.render.output import Output

SIGNATURE_LIFETIME_S = 300
"""How far AWS lets a signature's date be off, and so how long a signed URL serves to connect."""


def connect_url(
    env: options.EnvOption = None,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="guest, or operator.")] = "guest",
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print a signed URL for any MQTT client.

    Whoever has it can connect as this guest for five minutes, and stay: treat it, and the client id that belongs to
    it, as passwords. The client id and how long the URL lasts are said on standard error; --json prints url, clientId,
    connectBefore and credentialsExpire (null when nobody can know). docs/other-clients.md shows how to use it with
    MQTT.js and paho.

    \b
    Examples:
      chatops connect-url
      chatops connect-url --env production --json | python paho_chat.py
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if who not in {"guest", "operator"}:
        raise UsageError(f"There are no URLs for {who!r}", "choose --as guest or --as operator")
    selection = select(out, env, env_dir)
    environment = open_environment(out, selection)
    import asyncio
    import datetime as dt

    from chatops.chat.messages import format_time
    from chatops.cli.post_channels import listener_login
    from chatops.mqtt.diagnosis import presign
    from chatops.mqtt.login import Login

    async def sign() -> tuple[Login, str]:
        login = await listener_login(selection, environment, who, profile)
        return login, await presign(login.address, login.region, login.keys)

    login, path = asyncio.run(sign())
    url = login.address.url.removesuffix(login.address.path) + path
    connect_before = dt.datetime.fromtimestamp(time.time() + SIGNATURE_LIFETIME_S, dt.UTC)
    expire = dt.datetime.fromtimestamp(login.expires_at, dt.UTC) if login.expires_at is not None else None
    if out.json_mode:
        out.document(
            {
                "url": url,
                "clientId": login.client_id,
                "connectBefore": format_time(connect_before),
                "credentialsExpire": format_time(expire) if expire is not None else None,
            }
        )
        return
    out.data(url)
    out.note(f"client id: {login.client_id}")
    if who == "guest":
        out.note("keep both to yourself: the client id holds the identity id, with which anybody can be this guest")
    out.note(f"connect before {connect_before.astimezone():%H:%M:%S}; whoever has this URL is this {who} until then")
    if expire is not None:
        out.note(f"the credentials in it expire at {expire.astimezone():%H:%M:%S}")
