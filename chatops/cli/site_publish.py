"""What `chatops site publish` does: the plan, the question, the execution, the wait."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chatops import environment as environments
from chatops.cli import options
from chatops.cli.lifecycle import Account, desired_environment, open_account
from chatops.cli.page import content_maker, show_progress
from chatops.errors import PartlyDoneError
from chatops.infra.executor import execute
from chatops.infra.page import Host, check_bucket_name
from chatops.infra.page_executor import wait_until_deployed
from chatops.infra.planner import make_publication
from chatops.infra.steps import Plan
from chatops.render.plan import plan_document, plan_lines, where

if TYPE_CHECKING:
    from chatops.cli.context import Selection
    from chatops.render.output import Output
    from chatops.site.build import Site


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options of `site publish` ask for."""

    bucket: str | None
    cloudfront: bool
    website: bool
    region: str | None
    profile: str | None
    yes: bool

    @property
    def host(self) -> Host | None:
        """What should serve the page; None keeps what does, or is the default."""
        if self.website:
            return Host.WEBSITE
        return Host.CLOUDFRONT if self.cloudfront else None


def write_archive(out: "Output", site: "Site", archive: Path) -> None:
    """Write the page as one file."""
    from chatops.site.build import write_zip

    write_zip(site, archive)
    if out.json_mode:
        out.document({"path": str(archive), "files": {path: len(site.files[path]) for path in site.upload_order}})
    else:
        out.data(str(archive))


def publish_page(out: "Output", selection: "Selection", wanted: Wanted) -> None:
    """Publish an environment's page, after showing how and asking."""
    if wanted.bucket is not None:
        check_bucket_name(wanted.bucket, wanted.host or Host.CLOUDFRONT)
    if not selection.is_local:
        environments.load(selection.directory, selection.name)  # says what there is, before anybody is asked
    account = open_account(out, selection, wanted.region, wanted.profile)
    desired = desired_environment(account, selection.name, look_up_gateway=False)
    content = content_maker(out, may_build=True, must=True)
    plan = make_publication(account.aws, desired, account.directory, wanted.host, wanted.bucket, content)
    for line in plan_lines(out, plan, new_documents=out.verbose):
        out.note(line)
    if plan.changes and not wanted.yes and not selection.is_local:
        options.ask(out, f"Publish the page of {selection.name} ({where(plan)})?")
    execute(account.aws, plan, account.directory, lambda event: show_progress(out, event), content)
    _wait(out, account, selection, plan)
    url = environments.load(account.directory, selection.name).site["url"]
    if not plan.changes:
        out.note("The page is published as wanted; nothing was changed.")
    if url.startswith("http:") and not (account.endpoints or {}):
        out.note("It is served without encryption: whoever is on the way can read and change it.")
    if out.json_mode:
        file = str(environments.path_of(account.directory, selection.name))
        out.document({**plan_document(plan), "changed": len(plan.changes), "url": url, "file": file})
    else:
        out.data(url)
        out.note(f"Next: chatops site verify {url} --env {selection.name}")


def _wait(out: "Output", account: Account, selection: "Selection", plan: Plan) -> None:
    """Until the edge serves it: what was published a moment ago would else be looked at in vain."""
    distribution = environments.load(account.directory, selection.name).site.get("distribution")
    if plan.placement is None or plan.placement.host is not Host.CLOUDFRONT or distribution is None:
        return
    found = wait_until_deployed(
        account.aws, distribution, "until the page is everywhere", lambda words: out.note(f"  {words}")
    )
    if found is None:
        raise PartlyDoneError("The distribution was deleted meanwhile", "run the same command again")
