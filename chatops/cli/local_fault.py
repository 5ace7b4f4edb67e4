"""`chatops local fault`: have the local stack go wrong, to prove that it is noticed."""

import json
import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from chatops.cli import options
from chatops.cli.quantities import seconds, share
from chatops.errors import ConfigurationError, ConnectionFailedError, UsageError
from chatops.local import daemon
from chatops.local.record import StackRecord
from chatops.render.output import Output
from chatops.runtime import runtime_directory

_TIMEOUT_S = 10.0
_WORDS = {
    "drop_deliveries": "deliveries dropped",
    "duplicate": "deliveries duplicated",
    "reorder": "deliveries reordered",
    "refuse_connects": "connects refused",
    "refuse_requests": "requests refused",
}

_COUNTED = {
    "connects_refused": "connects refused",
    "requests_refused": "requests refused",
    "throttled": "deliveries throttled",
    "dropped": "deliveries dropped",
    "duplicated": "deliveries duplicated",
    "reordered": "deliveries reordered",
    "overflowed": "deliveries dropped, since too many waited",
    "delayed": "deliveries delayed",
    "cut": "connections cut",
    "expired": "credentials expired",
    "frozen": "freezes",
}


def fault(
    drop: Annotated[
        str | None, typer.Option("--drop-deliveries", metavar="SHARE", help="Lose so many deliveries, such as 1%.")
    ] = None,
    delay: Annotated[
        str | None, typer.Option("--delay", metavar="TIME", help="Deliver so much later, such as 50ms.")
    ] = None,
    duplicate: Annotated[
        str | None, typer.Option("--duplicate", metavar="SHARE", help="Deliver so many twice.")
    ] = None,
    reorder: Annotated[
        str | None, typer.Option("--reorder", metavar="SHARE", help="Have so many overtaken by their sender's next.")
    ] = None,
    refuse_connects: Annotated[
        str | None, typer.Option("--refuse-connects", metavar="SHARE", help="Answer so many connects with 503.")
    ] = None,
    refuse_requests: Annotated[
        str | None, typer.Option("--refuse-requests", metavar="SHARE", help="Refuse so many AWS calls.")
    ] = None,
    request_status: Annotated[
        int | None, typer.Option("--request-status", metavar="N", help="What those are answered: 500, 503 or 429.")
    ] = None,
    throttle: Annotated[
        list[str] | None,
        typer.Option(
            "--throttle",
            metavar="QUOTA=RATE",
            help="Enforce an account quota: connects, publishes-in, publishes-out, subscriptions, identities, "
            "credentials; `aws` enforces all at AWS's defaults.",
        ),
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Reset every connection.")] = False,
    freeze: Annotated[
        str | None, typer.Option("--freeze", metavar="TIME", help="Stop the whole stack for a while, such as 2s.")
    ] = None,
    expire: Annotated[
        bool, typer.Option("--expire-credentials", help="Let all guests' credentials expire now.")
    ] = False,
    after: Annotated[
        str, typer.Option("--after", metavar="TIME", help="Wait before --cut, --freeze or --expire-credentials.")
    ] = "0s",
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="What chance follows from.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="End all faults.")] = False,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Have the local stack go wrong on purpose.

    Without options it lists what is in force and how often it has struck. Faults add to those there are, until
    --clear or the stack's end.

    \b
    Examples:
      chatops local fault --delay 50ms --drop-deliveries 1%
      chatops local fault --throttle publishes-in=50 --seed 7
      chatops local fault --freeze 2s --after 5s
      chatops local fault --clear
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    shares = (
        ("drop_deliveries", "--drop-deliveries", drop),
        ("duplicate", "--duplicate", duplicate),
        ("reorder", "--reorder", reorder),
        ("refuse_connects", "--refuse-connects", refuse_connects),
        ("refuse_requests", "--refuse-requests", refuse_requests),
    )
    asked: dict[str, Any] = {name: share(option, text) for name, option, text in shares if text is not None}
    if delay is not None:
        asked["delay_s"] = seconds("--delay", delay)
    if throttle:
        asked["throttle"] = _throttles(throttle)
    numbers = {"request_status": request_status, "seed": seed}
    asked |= {name: value for name, value in numbers.items() if value is not None}
    wait = {"after_s": seconds("--after", after)}
    if cut:
        asked["cut"] = wait
    if freeze is not None:
        asked["freeze"] = {**wait, "seconds": seconds("--freeze", freeze)}
    if expire:
        asked["expire_credentials"] = wait
    record = daemon.find(runtime_directory(os.environ))
    if record is None:
        raise ConfigurationError("The local stack is not running", "start it with `chatops local up`")
    found = _call(record, "DELETE") if clear else None
    if asked or found is None:
        found = _call(record, "POST" if asked else "GET", asked)
    _show(out, found)


def _throttles(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        if text == "aws":
            from chatops.local.limits import Limits

            limits = Limits.aws_account()
            defaults = {
                "connects": limits.connects,
                "publishes-in": limits.publishes_in,
                "publishes-out": limits.publishes_out,
                "subscriptions": limits.subscriptions,
                "identities": limits.identities,
                "credentials": limits.identity_credentials,
            }
            found.update({name: rate for name, rate in defaults.items() if rate is not None})
            continue
        name, _, rate = text.partition("=")
        try:
            found[name] = float(rate.removesuffix("/s"))
        except ValueError:
            raise UsageError(
                f"--throttle {text!r} names no quota and rate", "write --throttle publishes-in=50, or aws"
            ) from None
    return found


def _call(record: StackRecord, method: str, asked: dict[str, Any] | None = None) -> dict[str, Any]:
    import http.client

    from chatops.local.record import FAULTS_PATH, fault_token

    connection = http.client.HTTPConnection("127.0.0.1", record.control_port, timeout=_TIMEOUT_S)
    try:
        connection.request(
            method,
            FAULTS_PATH,
            body=json.dumps(asked).encode() if method == "POST" else None,
            headers={"Authorization": f"Bearer {fault_token(record.secret_access_key)}"},
        )
        response = connection.getresponse()
        status, document = response.status, json.loads(response.read(65536))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectionFailedError(
            f"The local stack did not answer: {type(error).__name__}", "see `chatops local logs`"
        ) from None
    finally:
        connection.close()
    if status != 200 or not isinstance(document, dict):
        problem = document.get("problem") if isinstance(document, dict) else None
        raise UsageError(
            f"The local stack takes no such fault: {problem or status}", "see `chatops local fault --help`"
        )
    return document


def _show(out: Output, found: dict[str, Any]) -> None:
    if out.json_mode:
        out.document(found)
        return
    lines = []
    for name, value in found["faults"].items():
        match name:
            case "delay_s":
                lines.append(f"deliveries delayed by {value * 1000:g} ms")
            case "throttle":
                lines += [f"{quota} throttled to {rate:g}/s" for quota, rate in value.items()]
            case "request_status" | "seed":
                lines.append(f"{name.replace('_', ' ')} {value}")
            case _:
                lines.append(f"{100 * value:.4g} % of all {_WORDS.get(name, name)}")
    lines += list(found["planned"])
    if set(found["faults"]) <= {"seed"} and not found["planned"]:
        lines = ["no faults"]
    if found["counts"]:
        lines.append("so far:")
        lines += [f"  {_COUNTED.get(name, name):<45} {count:>12,}" for name, count in found["counts"].items()]
    out.lines(lines)
