"""The options that commands share, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from chatops.render.output import Output

EnvOption = Annotated[
    str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment (else CHATOPS_ENV).")
]
EnvDirOption = Annotated[
    str | None,
    typer.Option("--env-dir", metavar="DIR", help="The folder of environment files (else CHATOPS_ENV_DIR, else env)."),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="A profile of the AWS CLI's.")]
RegionOption = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The AWS Region.")]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", metavar="PREFIX", help="Where rooms lie (default /chat/).")
]
TitleOption = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The chat's title.")]
RoomsOption = Annotated[
    str | None, typer.Option("--rooms", metavar="A,B", help="The rooms that the page offers, comma-separated.")
]
AdoptOption = Annotated[
    str | None, typer.Option("--adopt", metavar="POOL_ID", help="Take over an identity pool made by hand.")
]
PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="Your own guest policy, in place of the least-privilege one."),
]
LeastPrivilegeOption = Annotated[
    bool, typer.Option("--least-privilege", help="Back from your own guest policy to the least-privilege one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but data and errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def ask(out: "Output", question: str) -> None:
    """Go on only when a person says yes; else the command ends, with the exit code for "there are differences".

    Raises:
        UsageError: nobody is there to be asked.
    """
    if not out.can_ask:
        raise UsageError(f"{question} Nobody is there to be asked", "say --yes to go ahead")
    if not typer.confirm(question, err=True):
        out.note("Nothing was changed.")
        raise typer.Exit(int(ExitCode.DIFFERENCES))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options of `setup` and `plan` ask for; None keeps what is there."""

    prefix: str | None = None
    title: str | None = None
    rooms: tuple[str, ...] | None = None
    policy: "Mapping[str, Any] | None" = None
    adopt: str | None = None
    least_privilege: bool = False


def wishes(
    *,
    prefix: str | None,
    title: str | None,
    rooms: str | None,
    policy: Path | None,
    adopt: str | None,
    least_privilege: bool,
) -> Wishes:
    """Check the options of `setup` and `plan`.

    Raises:
        UsageError: a room cannot be, or both policies are asked for.
        ConfigurationError: the prefix, the policy file or the pool's id cannot be.
    """
    from chatops.chat.rooms import DEFAULT_PREFIX, check_prefix, parse_room
    from chatops.environment import is_text, region_of_pool
    from chatops.infra.policy_file import read_policy

    if policy is not None and least_privilege:
        raise UsageError("--policy and --least-privilege exclude each other", "give one of them")
    if adopt is not None and region_of_pool(adopt) is None:
        raise UsageError(
            f"{adopt!r} is not the id of an identity pool",
            "it looks like eu-west-1:7b0cb1f2-1111-4222-8333-444455556666",
        )
    checked = check_prefix(prefix) if prefix is not None else None
    topics = None
    if rooms is not None:
        names = [room.strip() for room in rooms.split(",") if room.strip()]
        topics = tuple(parse_room(room, checked or DEFAULT_PREFIX).topic for room in names)
        if not topics:
            raise UsageError("--rooms names no room", "write them like --rooms lobby,games/chess")
    if title is not None and not is_text(title):
        raise UsageError("The title is empty or has control characters in it", "give a plain text")
    document = read_policy(policy) if policy is not None else None
    return Wishes(checked, title, topics, document, adopt, least_privilege)
