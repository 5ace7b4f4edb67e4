"""What a guest should be able to do, and what not: the table that `doctor` proves and that policies are judged by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from chatops.chat.guest_session import GuestSession
from chatops.chat.iam import Decision, parse_policy

NOBODY = "00000000-0000-4000-8000-000000000000"


class Operation(Enum):
    """What a guest tries."""

    CONNECT = "connect as"
    SUBSCRIBE = "subscribe to"
    PUBLISH = "publish to"
    RETAIN = "publish, retained, to"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that a guest tries.

    Attributes:
        what: the client id, filter or topic.
        words: `what` for people, where it differs (ids are long).
        allowed: whether it should be.
        why: what follows if it is otherwise.
    """

    operation: Operation
    what: str
    allowed: bool
    why: str
    words: str | None = None

    def __str__(self) -> str:
        return f"{self.operation.value} {self.words or self.what}"


def expectations(*, prefix: str, identity_id: str, room: str) -> tuple[Expectation, ...]:
    """The table for one guest.

    Args:
        identity_id: the guest's.
        room: a room that nobody else uses.
    """
    region = identity_id.partition(":")[0]
    other = f"{region}:{NOBODY}"
    outside = f"elsewhere/{room.rpartition('/')[2]}"
    leak = "a guest could read what is not for guests"
    forge = "a guest could forge what devices and AWS itself say"
    no_chat = "nobody could chat"
    return (
        Expectation(Operation.CONNECT, identity_id, True, no_chat, "itself"),
        Expectation(Operation.CONNECT, f"{identity_id}-doctor", True, "a second tab would fail", "itself, second tab"),
        Expectation(Operation.CONNECT, other, False, "a guest could throw others out and speak for them", "another"),
        Expectation(Operation.SUBSCRIBE, room, True, no_chat),
        Expectation(Operation.PUBLISH, room, True, no_chat),
        Expectation(Operation.SUBSCRIBE, f"{prefix}#", True, "AWS matches it as text under the prefix"),
        Expectation(Operation.SUBSCRIBE, "#", False, leak),
        Expectation(Operation.SUBSCRIBE, "+/#", False, leak),
        Expectation(Operation.SUBSCRIBE, f"+{prefix if prefix.startswith('/') else '/' + prefix}lobby", False, leak),
        Expectation(Operation.SUBSCRIBE, "$aws/#", False, leak),
        Expectation(Operation.PUBLISH, "$aws/things/chatops-doctor/shadow/update", False, forge),
        Expectation(Operation.PUBLISH, outside, False, "a guest could use the account as its own broker"),
        Expectation(Operation.RETAIN, room, False, "a guest's words would greet everybody who comes, for good"),
    )


def judge(
    document: Mapping[str, Any], *, region: str, account: str, prefix: str, partition: str = "aws"
) -> Iterator[tuple[Expectation, Decision]]:
    """Judge a guest policy document against the table, with the evaluator of the local gateway.

    Raises:
        PolicyError: the document is no IAM policy.
    """
    identity = f"{region}:11111111-1111-4111-8111-111111111111"
    policies = (parse_policy(document),)
    session = GuestSession(
        region=region, account=account, identity_id=identity, pool_id=f"{region}:{NOBODY}", partition=partition
    )
    for expectation in expectations(prefix=prefix, identity_id=identity, room=f"{prefix}doctor"):
        match expectation.operation:
            case Operation.CONNECT:
                decision = session.connect(policies, expectation.what)
            case Operation.SUBSCRIBE:
                decision = session.subscribe(policies, expectation.what)
            case Operation.PUBLISH:
                decision = session.publish(policies, expectation.what)
            case Operation.RETAIN:
                decision = session.publish(policies, expectation.what, retain=True)
            case _:
                assert_never(expectation.operation)
        yield expectation, decision


def warnings_for(document: Mapping[str, Any], *, region: str, account: str, prefix: str) -> list[str]:
    """Each way in which a policy is broader than a chat needs, or too narrow for one, as a sentence."""
    found = []
    for expectation, decision in judge(document, region=region, account=account, prefix=prefix):
        if (decision is Decision.ALLOW) != expectation.allowed:
            verb = "may not" if expectation.allowed else "may"
            found.append(f"a guest {verb} {expectation}: {expectation.why}")
    return found
