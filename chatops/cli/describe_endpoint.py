"""`chatops describe-endpoint`."""

import os

from chatops.cli import options
from chatops.render.output import Output


def describe_endpoint(
    env: options.EnvOption = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Print the name of the account's gateway.

    That is the endpoint of the type iot:Data-ATS, alone on standard output.

    \b
    Examples:
      chatops describe-endpoint --region eu-west-1
      chatops describe-endpoint --env local
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    from chatops.aws.iot import DATA_ENDPOINT
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
    address = look_up(Aws(target))
    if out.json_mode:
        out.document({"endpointType": DATA_ENDPOINT, "endpointAddress": address})
    else:
        out.data(address)
