"""Puts the guests' page into the wheel: makes its bundle with Node, anew, so that no wheel holds an old one.

An editable install is left alone: a checkout makes the bundle when a command needs it.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling for each wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's signature)
        """Make the bundle.

        Raises:
            RuntimeError: Node is needed and is not there.
        """
        site = Path(self.root) / "chatops" / "site"
        if version == "editable":
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("a wheel of chatops contains the guests' page, whose build needs Node 20 or later")
        for arguments in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "--silent", "build"]):
            subprocess.run([npm, *arguments], cwd=site / "web", check=True)  # noqa: S603  (npm, fixed arguments)
