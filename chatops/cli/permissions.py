"""`chatops permissions`."""

from typing import Annotated

import typer

from chatops.cli import options
from chatops.errors import UsageError
from chatops.render.output import Output


def permissions(
    commands: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="For these commands alone (default: all).")
    ] = None,
    account: Annotated[
        str, typer.Option("--account", metavar="ID", help="The account's id, to be put into the ARNs.")
    ] = "123456789012",
    prefix: options.PrefixOption = None,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print the IAM policy that an operator needs.

    It is generated from the calls that the commands make.

    \b
    Examples:
      chatops permissions --account 111122223333
      chatops permissions post status
    """
    out = Output(quiet=quiet, verbose=verbose)
    from chatops.chat.rooms import DEFAULT_PREFIX, check_prefix
    from chatops.infra.permissions import COMMANDS, operator_policy

    unknown = [command for command in commands or () if command not in COMMANDS]
    if unknown:
        raise UsageError(f"{unknown[0]!r} calls no AWS operation", f"choose among {', '.join(COMMANDS)}")
    if not (len(account) == 12 and account.isdecimal()):
        raise UsageError(f"{account!r} is not an AWS account's id", "it has 12 digits")
    chosen = check_prefix(prefix) if prefix is not None else DEFAULT_PREFIX
    out.document(operator_policy(account=account, prefix=chosen, commands=commands or None))
