"""The page of an environment, as the lifecycle needs it: made by `site`, planned and carried out by `infra`."""

import os
from typing import TYPE_CHECKING

from chatops.environment import Environment
from chatops.errors import ConfigurationError
from chatops.infra.page import Content, ContentMaker

if TYPE_CHECKING:
    from chatops.infra.executor import Event
    from chatops.render.output import Output


def content_maker(out: "Output", *, may_build: bool, must: bool = False) -> ContentMaker:
    """What makes a page.

    Args:
        may_build: whether Node may be set to work where this is a checkout and the bundle is not fresh; without, and
            where it is not, no page is made: commands that only look must not take a minute.
        must: whether a page that cannot be built is an error; else it is said, and the rest goes on without it.
    """

    def make(environment: Environment) -> Content | None:
        from chatops.site.build import make_site
        from chatops.site.bundle import is_ready, load_bundle
        from chatops.site.headers import security_headers
        from chatops.site.publish import page_files

        if not may_build and not is_ready():
            return None
        try:
            bundle = load_bundle(out.note)
        except ConfigurationError as error:
            if must:
                raise
            out.note(f"the page is left out: {error.problem}")
            return None
        site = make_site(environment, bundle, os.environ)
        return Content(page_files(site), security_headers(site.policy))

    return make


def show_progress(out: "Output", event: "Event") -> None:
    """Say what is done, and what is waited for."""
    from chatops.infra.executor import Phase

    match event.phase:
        case Phase.DONE:
            out.note(f"  done: {event.step.kind.value} {event.name}")
        case Phase.WAITING:
            out.note(f"  {event.name}")
        case Phase.STARTED:
            out.detail(f"  {event.step.action.value} {event.step.kind.value} {event.name}")
