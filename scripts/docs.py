"""Fills the generated parts of README.md and docs/: `python scripts/docs.py` writes, `--check` only compares.

`--demo` runs `chatops demo`, a tail and three posts for real and puts their output in.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import typer
from docs_scale import scale_parts

from chatops.cli.app import build_app
from chatops.errors import ExitCode
from chatops.infra.permissions import operator_policy

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SCALE = ROOT / "docs" / "scale.md"

EXIT_CODES = {
    ExitCode.DONE: "done",
    ExitCode.BUG: "a bug in chatops: a short line and the path of a log",
    ExitCode.USAGE: "usage: the command line asks for something that cannot be",
    ExitCode.CONFIGURATION: "an environment file, a setting or the installation is wrong or missing",
    ExitCode.NOT_AUTHORISED: "not authorised; names the missing permission",
    ExitCode.AWS_FAILED: "AWS refused for another reason, or failed",
    ExitCode.CONNECTION: "could not connect, or lost the connection for good",
    ExitCode.PARTLY_DONE: "partly done; says what is left",
    ExitCode.DIFFERENCES: "there are differences (`local status`: it does not run)",
    ExitCode.THRESHOLD: "a threshold was not met",
    ExitCode.NOT_VALID: "the measurement is not valid: the load generator was the bottleneck",
    ExitCode.INTERRUPTED: "interrupted",
}


def commands() -> str:
    """A table of all commands with the first sentence of their help."""
    rows = ["| command | does |", "|---|---|"]
    root = typer.main.get_command(build_app())
    for path, command in _walk(root, "chatops"):
        words = " ".join((command.help or "").split("\n\n")[0].split())
        rows.append(f"| `{path}` | {words} |")
    return "\n".join(rows)


def _walk(command, path):  # noqa: ANN001, ANN202  (the classes' home differs between versions of Typer)
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, subcommand in subcommands.items():
        yield from _walk(subcommand, f"{path} {name}")


def exit_codes() -> str:
    """A table of all exit codes."""
    return "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| {int(code)} | {EXIT_CODES[code]} |" for code in ExitCode)]
    )


def permissions() -> str:
    """The operator's policy as indented JSON."""
    text = json.dumps(operator_policy(account="123456789012"), indent=2)
    return "\n".join(f"    {line}" for line in text.splitlines())


def demo() -> str:
    """The output of a real run."""
    command = [sys.executable, "-m", "chatops.cli.app", "demo"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (our own command)
    return "\n".join(["    $ chatops demo", *(f"    {line}".rstrip() for line in done.stdout.splitlines())])


def session() -> str:
    """A tail and what others post meanwhile, from a real run on the local stack."""
    chatops = [sys.executable, "-m", "chatops.cli.app"]
    watch = ["tail", "lobby", "-n", "3", "--format", "{time:%H:%M:%S} {name}: {text}"]
    posts = (
        ["post", "lobby", "maintenance soon"],
        ["post", "lobby", "thank you for the warning", "--as", "guest", "--name", "Ada"],
        ["post", "lobby", "done", "--kind", "system"],
    )
    subprocess.run([*chatops, "local", "up", "-q"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    with subprocess.Popen(  # noqa: S603
        [*chatops, *watch, "--env", "local"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tail:
        lines = [f"$ {shlex.join(['chatops', *watch])}"]
        if tail.stderr is None or tail.stdout is None:
            raise SystemExit("the tail has no output")
        lines.append(tail.stderr.readline().rstrip())
        for post in posts:
            subprocess.run([*chatops, *post, "--env", "local", "-q"], check=True, capture_output=True)  # noqa: S603
        lines += [line.rstrip() for line in tail.stdout]
    lines += ["", "    # meanwhile, in another terminal"]
    lines += [f"$ {shlex.join(['chatops', *post])}" for post in posts]
    return "\n".join(f"    {line.strip()}".rstrip() for line in lines)


def filled(name_of_file: str, text: str, parts: dict[str, str]) -> str:
    """`text` with its marked regions replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{name_of_file} has no region {name}")
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
    return text


def generated() -> dict[str, str]:
    """The parts that follow from the code alone."""
    return {"commands": commands(), "exit-codes": exit_codes(), "permissions": permissions()}


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fills the generated parts of README.md and docs/.")
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--demo", action="store_true", help="run the demo and put its output in")
    options = parser.parse_args()
    parts = {
        README: generated() | ({"demo": demo(), "session": session()} if options.demo else {}),
        SCALE: scale_parts(),
    }
    stale = False
    for path, found in parts.items():
        before = path.read_text(encoding="utf-8")
        after = filled(path.name, before, found)
        if after == before:
            continue
        if options.check:
            stale = True
            sys.stderr.write(f"{path.relative_to(ROOT)} is not fresh: run python scripts/docs.py\n")
        else:
            path.write_text(after, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
