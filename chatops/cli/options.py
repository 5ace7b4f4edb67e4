"""The options that commands share, each declared once."""

from typing import Annotated

import typer

EnvOption = Annotated[
    str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment (else CHATOPS_ENV).")
]
EnvDirOption = Annotated[
    str | None,
    typer.Option("--env-dir", metavar="DIR", help="The folder of environment files (else CHATOPS_ENV_DIR, else env)."),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="A profile of the AWS CLI's.")]
RegionOption = Annotated[str | None, typer.Option("--region", metavar="REGION", help="The AWS Region.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but data and errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
