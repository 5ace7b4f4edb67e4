"""Proves, as a real guest, what guests can and cannot do; and checks what else commonly goes wrong.

Every check is a function that returns findings. A denial is told apart from a failure: only what the gateway refused
with "not authorized" counts as denied.
"""

import asyncio
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from chatops.aws import quotas
from chatops.aws.session import Aws
from chatops.chat.iam import Decision, PolicyError
from chatops.environment import Environment
from chatops.errors import ChatopsError, ConnectionFailedError, NotAuthorisedError
from chatops.infra.expectations import Expectation, Operation, expectations, judge
from chatops.infra.planner import make_plan
from chatops.infra.resources import Desired
from chatops.infra.steps import Action
from chatops.mqtt.connection import connect
from chatops.mqtt.endpoint import gateway_address
from chatops.mqtt.login import Login

_TIMEOUT_S = 10.0
_CONNECT_INTERVAL_S = 1.1
_SKEW_WARN_S = 60.0
_SKEW_LIMIT_S = 300.0  # SigV4 signatures are refused beyond about five minutes
_POSTS_PER_PERSON_PER_S = 0.1  # a lively person
_PER_CONNECTION_PER_S = 100  # AWS IoT: publishes in and out of one connection; what exceeds it is discarded
_MESSAGE = b"chatops doctor"


class State(Enum):
    """What a check found."""

    OK = "ok"
    WRONG = "wrong"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        check: what was looked at.
        why: why it matters; fix: the command that mends it. Both only where something is wrong.
    """

    check: str
    state: State
    expected: str
    actual: str
    why: str = ""
    fix: str = ""


def _fix(environment: Environment) -> str:
    return f"chatops setup --env {environment.name}"


def policy_findings(desired: Desired) -> Iterator[Finding]:
    """What the policy document says, without asking anybody."""
    fix = f"chatops setup --env {desired.name}"
    try:
        judged = list(
            judge(
                desired.guest_policy(),
                region=desired.region,
                account=desired.account,
                prefix=desired.prefix,
                partition=desired.partition,
            )
        )
    except PolicyError as error:
        yield Finding("guest policy", State.WRONG, "an IAM policy", str(error), "no guest could do anything", fix)
        return
    for expectation, decision in judged:
        yield _judged(expectation, allowed=decision is Decision.ALLOW, fix=fix)


async def guest_findings(environment: Environment, log_in: Callable[[], Awaitable[Login]]) -> AsyncIterator[Finding]:
    """What a real guest can do, each attempt over a connection of its own.

    Raises:
        ChatopsError: no guest can log in.
    """
    login = await log_in()
    room = f"{environment.topic_prefix}chatops-doctor-{secrets.token_hex(4)}"
    table = expectations(prefix=environment.topic_prefix, identity_id=login.identity, room=room)
    for expectation in table:
        try:
            try:
                await _attempt(login, expectation)
            except ConnectionFailedError:
                # One CONNECT a second and client id: somebody, such as an earlier doctor, may just have used this one.
                await asyncio.sleep(_CONNECT_INTERVAL_S)
                await _attempt(login, expectation)
        except NotAuthorisedError:
            yield _judged(expectation, allowed=False, fix=_fix(environment))
        except ChatopsError as error:
            yield Finding(
                str(expectation),
                State.FAILED,
                _words(allowed=expectation.allowed),
                error.problem,
                expectation.why,
                error.remedy,
            )
        else:
            yield _judged(expectation, allowed=True, fix=_fix(environment))


async def _attempt(login: Login, expectation: Expectation) -> None:
    """Try it; NotAuthorisedError says that it was denied."""
    client_id = f"{login.identity}-{secrets.token_hex(4)}"
    if expectation.operation is Operation.CONNECT:
        client_id = expectation.what
    async with connect(login.address, login.region, login.keys, client_id) as chat:
        match expectation.operation:
            case Operation.SUBSCRIBE:
                await chat.subscribe([expectation.what])
            case Operation.PUBLISH:
                await chat.publish(expectation.what, _MESSAGE)
            case Operation.RETAIN:
                await chat.publish(expectation.what, _MESSAGE, retain=True)
                # It was allowed, and should not have been: take the message away again.
                with suppress(ChatopsError):
                    await chat.publish(expectation.what, b"", retain=True)
            case Operation.CONNECT:
                pass


def _judged(expectation: Expectation, *, allowed: bool, fix: str) -> Finding:
    state = State.OK if allowed == expectation.allowed else State.WRONG
    why, mend = ("", "") if state is State.OK else (expectation.why, fix)
    return Finding(str(expectation), state, _words(allowed=expectation.allowed), _words(allowed=allowed), why, mend)


def _words(*, allowed: bool) -> str:
    return "allowed" if allowed else "denied"


async def clock_finding(url: str, now: Callable[[], dt.datetime]) -> Finding:
    """How far this machine's clock is from AWS's: signatures carry the time."""
    check = "clock"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            theirs = parsedate_to_datetime(response.headers.get("Date", ""))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(check, State.FAILED, "AWS's time", str(error) or "no answer", "signatures carry the time")
    except ValueError:
        return Finding(check, State.SKIPPED, "AWS's time", "the answer has no date")
    skew = abs((now() - theirs).total_seconds())
    if skew <= _SKEW_WARN_S:
        return Finding(check, State.OK, f"within {_SKEW_WARN_S:.0f} s of AWS", f"{skew:.0f} s off")
    why = "signatures are refused" if skew > _SKEW_LIMIT_S else "signatures are refused from 5 minutes on"
    return Finding(
        check, State.WRONG, f"within {_SKEW_WARN_S:.0f} s of AWS", f"{skew:.0f} s off", why, "timedatectl set-ntp true"
    )


def gateway_finding(environment: Environment) -> Finding:
    """The legacy endpoint type has a certificate that browsers reject."""
    name = environment.gateway
    legacy = name.endswith((".amazonaws.com", ".amazonaws.com.cn")) and "-ats.iot." not in name
    if not legacy:
        return Finding("gateway name", State.OK, "of the type iot:Data-ATS", name)
    return Finding(
        "gateway name", State.WRONG, "of the type iot:Data-ATS", name, "browsers reject its certificate",
        _fix(environment),
    )  # fmt: skip


def resource_findings(aws: Aws, desired: Desired, directory: Path) -> Iterator[Finding]:
    """What exists, compared with what is wanted; read calls only."""
    fix = f"chatops setup --env {desired.name}"
    try:
        plan = make_plan(aws, desired, directory)
    except ChatopsError as error:
        yield Finding("resources", State.WRONG, "this environment's", error.problem, "setup would refuse", error.remedy)
        return
    for step in plan.steps:
        check = step.kind.value
        match step.action:
            case Action.KEEP:
                yield Finding(check, State.OK, "as wanted", "as wanted")
            case Action.CREATE:
                yield Finding(check, State.WRONG, step.name, "missing", step.reason, fix)
            case Action.CHANGE | Action.DELETE:
                yield Finding(check, State.WRONG, "as wanted", f"{step.name}: {step.reason}", "it has drifted", fix)


def quota_findings(aws: Aws, environment: Environment, clients: int | None) -> Iterator[Finding]:
    """The quotas that a chat of `clients` people would meet, each posting 0.1 messages a second.

    They are spread evenly over the environment's rooms, or over a tenth as many rooms where it offers none.
    """
    if clients is None:
        yield Finding("quotas", State.SKIPPED, "enough for the chat", "its size is not given (--clients N)")
        return
    rooms = len(environment.rooms) or max(1, clients // 10)
    people = clients / rooms
    inbound = clients * _POSTS_PER_PERSON_PER_S
    outbound = inbound * people
    needs = (
        (quotas.CONNECTIONS, float(clients)),
        (quotas.INBOUND_PUBLISHES, inbound),
        (quotas.OUTBOUND_PUBLISHES, outbound),
    )
    for quota, need in needs:
        limit = quotas.current(aws, quota)
        state = State.OK if need <= limit else State.WRONG
        fix = (
            "aws service-quotas request-service-quota-increase --service-code iotcore "
            f"--quota-code {quota.code} --desired-value {need:.0f}"
        )
        yield Finding(
            f"quota: {quota.words}",
            state,
            f"at most {limit:,.0f}",
            f"{need:,.0f} with {clients:,} people in {rooms:,} rooms",
            "" if state is State.OK else "AWS discards or refuses what exceeds it",
            "" if state is State.OK else fix,
        )
    per_person = _POSTS_PER_PERSON_PER_S * (people + 1)
    state = State.OK if per_person <= _PER_CONNECTION_PER_S else State.WRONG
    yield Finding(
        "quota: messages per second and connection",
        state,
        f"at most {_PER_CONNECTION_PER_S}",
        f"{per_person:,.0f} in rooms of {people:,.0f}",
        "" if state is State.OK else "AWS silently discards what exceeds it; it cannot be raised",
        "" if state is State.OK else "offer more rooms: chatops setup --rooms …",
    )


async def page_finding(environment: Environment) -> Finding:
    """Whether the published page talks to this environment."""
    url = environment.site.get("url")
    gateway = gateway_address(environment.gateway, environment.endpoints.get("gateway")).url
    expected = f"{gateway}, {environment.identity_pool_id}"
    if url is None:
        return Finding("page", State.SKIPPED, expected, "no page is published")
    fix = f"chatops site publish --env {environment.name}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
            session.get(urljoin(url, "config.json")) as response,
        ):
            response.raise_for_status()
            config = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return Finding("page", State.FAILED, expected, f"{url}: {said}", "guests may see nothing", fix)
    found = config if isinstance(config, dict) else {}
    actual = f"{found.get('gateway')}, {found.get('identityPoolId')}"
    if actual == expected:
        return Finding("page", State.OK, expected, actual)
    return Finding("page", State.WRONG, expected, actual, "guests would join another chat", fix)
