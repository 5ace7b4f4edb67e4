"""`chatops describe-endpoint`."""

import os
from typing import Annotated

import typer

from chatops.cli import options
from chatops.errors import UsageError
from chatops.render.output import Output

_TYPES = ("iot:Data-ATS", "iot:Jobs", "iot:CredentialProvider")


def describe_endpoint(
    endpoint_type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="iot:Data-ATS, iot:Jobs or iot:CredentialProvider.")
    ] = "iot:Data-ATS",
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print the name of the account's gateway.

    That is the endpoint of the type iot:Data-ATS, alone on standard output. iot:Data, the legacy type, is refused:
    browsers reject its certificate.

    \b
    Examples:
      chatops describe-endpoint --region eu-west-1
      chatops describe-endpoint --env local
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    if endpoint_type not in _TYPES:
        raise UsageError(
            f"There is no use for an endpoint of the type {endpoint_type!r}", f"choose {', '.join(_TYPES)}"
        )
    from chatops.aws.iot import describe_endpoint as look_up
    from chatops.aws.session import Aws
    from chatops.cli.context import open_environment, require_local, select
    from chatops.cli.lifecycle import account_target, operator_target

    if env is None:
        target = account_target(region, profile, os.environ)
    else:
        selection = select(out, env, env_dir)
        environment = open_environment(out, selection)
        record = require_local(selection) if selection.is_local else None
        target = operator_target(environment, record, profile)
    address = look_up(Aws(target), endpoint_type)
    if out.json_mode:
        out.document({"endpointType": endpoint_type, "endpointAddress": address})
    else:
        out.data(address)
