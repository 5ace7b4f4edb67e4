"""What the load test itself adds to the latency that it reports, at half of its saturation.

    python benchmarks/loadtest_overhead.py [--repeats 5] [--seconds 6]

One gateway without checks runs in a process of its own. First the generator's saturation is estimated: the deliveries
a second at which it would use 85 % of a core, where a run becomes invalid. Then, at half of that, ten bare clients
(`gateway_client.py`: a socket each, no bookkeeping, 200 deliveries/s) chat in one room of the same size through the
same gateway at the same time, in a process of their own. Both time a delivery from when its post left: what chatops
reports beyond the bare clients' figure is its own. Figures are medians of the repeats; nothing is asserted.
"""

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from loadtest import HERE, gateway, run, variables
from processes import load_average

CLIENTS, ROOMS = 500, 50
_LIMIT_CPU = 0.85


def chatops(port: int, posts_per_s: int, seconds: int) -> dict[str, Any]:
    program = [sys.executable, str(HERE / "loadtest_chatops.py"), str(port)]
    return run([*program, str(CLIENTS), str(ROOMS), str(posts_per_s), str(seconds)], variables())


def beside(port: int, posts_per_s: int, seconds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run of chatops, and what bare clients see meanwhile."""
    bare = [sys.executable, str(HERE / "gateway_client.py"), "--port", str(port), "--clients", str(CLIENTS // ROOMS)]
    bare += ["--rooms", "1", "--rate", "200", "--seconds", str(seconds + 2)]
    process = subprocess.Popen(bare, env=variables(), stdout=subprocess.PIPE, text=True)
    found = chatops(port, posts_per_s, seconds)
    said, _ = process.communicate(timeout=60)
    return found, json.loads(said.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    options = parser.parse_args()
    with gateway() as port:
        warm = [chatops(port, 1000, 5) for _ in range(3)]
        saturation = _LIMIT_CPU * statistics.median(each["received"] / each["cpu_s"] for each in warm)
        posts_per_s = round(saturation / 2 / (CLIENTS // ROOMS))
        print(load_average())
        print(f"saturation at about {saturation:,.0f} deliveries/s; half of it is {posts_per_s:,} posts/s")
        pairs = []
        for _ in range(options.repeats):
            found, bare = beside(port, posts_per_s, options.seconds)
            pairs.append((found["sent_p50_ms"], bare["p50_ms"]))
            rate, cpu = found["received"] / found["seconds"], found["cpu_s"] / found["seconds"]
            print(
                f"{rate:>8,.0f} deliveries/s at {cpu:.0%} of a core: chatops p50 {pairs[-1][0]:.3f} ms, "
                f"bare clients beside it {pairs[-1][1]:.3f} ms; {found['verdict']}"
            )
    added = statistics.median(ours - theirs for ours, theirs in pairs)
    print(f"chatops adds {added:.3f} ms at p50 (median of {len(pairs)} pairs)")


if __name__ == "__main__":
    main()
