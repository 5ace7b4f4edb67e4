"""The options that commands share, each declared once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.errors import UsageError

if TYPE_CHECKING:
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
    """Go on only when a person says yes.

    Raises:
        UsageError: nobody is there to be asked.
    """
    if not out.can_ask:
        raise UsageError(f"{question} Nobody is there to be asked", "say --yes to go ahead")
    if not typer.confirm(question, err=True):
        raise typer.Abort


def check_policy_choice(policy: Path | None, *, least_privilege: bool) -> None:
    """Make sure that not both policies are asked for.

    Raises:
        UsageError: they are.
    """
    if policy is not None and least_privilege:
        raise UsageError("--policy and --least-privilege exclude each other", "give one of them")
