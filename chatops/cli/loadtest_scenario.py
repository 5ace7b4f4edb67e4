"""From the options of `chatops loadtest` to its scenario, its rhythm and its limits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatops.errors import UsageError

if TYPE_CHECKING:
    from chatops.load.replay import Replay
    from chatops.load.scenario import Scenario
    from chatops.load.thresholds import Limit


def choices(spread: str | None, arrivals: str | None, shape: str | None) -> dict[str, Any]:
    from chatops.load.pacing import Arrivals
    from chatops.load.profile import Shape
    from chatops.load.scenario import Spread

    found: dict[str, Any] = {}
    for name, text, kind in (("spread", spread, Spread), ("arrivals", arrivals, Arrivals), ("shape", shape, Shape)):
        if text is None:
            continue
        names = [choice.value for choice in kind]
        if text not in names:
            raise UsageError(f"There is no --{name} {text!r}", f"choose {', '.join(names)}")
        found[name] = kind(text)
    return found


def read_rhythm(
    given: dict[str, Any], file: Path, *, speed: float, scale: float, seed: int | None, find_limit: bool
) -> "Replay":
    """Read a recording, and let the scenario have its rooms and length."""
    from chatops.load.replay import read_replay

    fixed = {"duration_s", "rooms", "posts_per_s", "total_posts_per_s", "warm_up_s", "shape", "spread"}
    clashing = [name for name in sorted(fixed) if given.get(name) is not None]
    if clashing or find_limit:
        named = "find_limit" if find_limit else clashing[0]
        raise UsageError(f"A replay has its own rhythm ({named})", "leave that out, and use --speed and --scale")
    found = read_replay(file, speed=speed, scale=scale, seed=1 if seed is None else seed)
    given.update(
        duration_s=found.seconds,
        rooms=min(found.rooms, given["clients"] or 100),
        total_posts_per_s=len(found.beats) / found.seconds,
        warm_up_s=0.0,
    )
    return found


def read_limits(texts: list[str], more: list[str], *, abort: bool) -> "tuple[Limit, ...]":
    from chatops.load.thresholds import parse

    if more and not texts:
        raise UsageError(f"A load test has no argument {more[0]!r}", "see `chatops loadtest --help`")
    if abort and not texts:
        raise UsageError("--abort has nothing to watch", "say what ends the run with --fail-on 'lost>0'")
    return tuple(parse(part) for text in (*texts, *more) for part in text.split(","))


def read_scenario_of(given: dict[str, Any], file: Path | None) -> "Scenario":
    from chatops.load.scenario_file import make_scenario, read_scenario

    if {"posts_per_s", "total_posts_per_s"} <= given.keys():
        raise UsageError("--rate and --total-rate cannot both be", "leave one of them out")
    values = read_scenario(file) if file is not None else {}
    if {"duration_s", "shape"} & given.keys():
        values.pop("phases", None)
    if "posts_per_s" in given:
        values.pop("total_posts_per_s", None)
    return make_scenario({**values, **given})
