"""The guests' page in a real Chromium: its weight, its start, its frames under a flood, its memory over hours.

    python benchmarks/page.py

The local stack, `site serve` and whoever speaks run in processes of their own on loopback; the browser is the
system's, headless, a fresh profile for each start. Times are the page's own clock. There is no peer: the figures
stand beside what the page is wanted to do.
"""

import asyncio
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from chatops import environment as environments
from chatops.local.record import environment_directory
from chatops.mqtt.connection import connect
from chatops.mqtt.login import log_in
from chatops.site.bundle import load_bundle

CHATOPS = [sys.executable, "-m", "chatops.cli.app"]
LOBBY = "/chat/lobby"
STARTS = 15
FLOOD_PER_S, FLOOD_S = 1_000, 20
HOURS, AN_HOUR, FAST_PER_S = 8, 3_600, 2_000

WATCH = """
const at = {}, marks = window.marks = { at, frames: [], long: [] };
const seen = (name) => { at[name] ??= performance.now(); };
new MutationObserver(() => {
  if (document.querySelector('#login')?.hidden === false) seen('interactive');
  if (document.querySelector('#status-words')?.textContent.startsWith('Connected')) seen('connected');
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
addEventListener('click', () => seen('clicked'), true);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) marks.long.push(entry.duration);
}).observe({ type: 'long-animation-frame', buffered: true });
let last;
const frame = (now) => {
  if (last !== undefined) marks.frames.push(now - last);
  last = now;
  if (!marks.enough) requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""


@contextmanager
def served() -> Iterator[tuple[str, dict[str, str]]]:
    """A local stack without quotas and the page in front of it; yields the address, and variables for the stack."""
    with tempfile.TemporaryDirectory(prefix="chatops-bench-") as directory:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHATOPS_"))}
        env["CHATOPS_RUNTIME_DIR"] = directory
        quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            subprocess.run([*CHATOPS, "local", "up", "--quotas", "none"], check=True, **quiet)
            command = [*CHATOPS, "site", "serve", "--env", "local", "--no-open"]
            with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as serving:
                yield serving.stdout.readline().strip() if serving.stdout else "", env
                serving.terminate()
        finally:
            subprocess.run([*CHATOPS, "local", "down"], check=False, **quiet)


async def speak(count: int, rate: int) -> None:
    """Post `count` messages to the lobby, evenly, each as another guest."""
    runtime = Path(os.environ["CHATOPS_RUNTIME_DIR"])
    environment = environments.load(environment_directory(runtime), "local")
    login = await log_in(environment, os.environ, runtime)
    async with connect(login.address, login.region, login.keys, login.client_id) as chat:
        begun = time.perf_counter()
        posts = []
        for number in range(count):
            if (ahead := number / rate - (time.perf_counter() - begun)) > 0:
                await asyncio.sleep(ahead)
            posts.append(asyncio.create_task(chat.publish(LOBBY, message(number))))
            if len(posts) == 500:
                await asyncio.gather(*posts)
                posts = []
        await asyncio.gather(*posts)


def message(number: int) -> bytes:
    return json.dumps(
        {
            "id": f"{time.time_ns()}-{number}",
            "from": f"guest-{number % 700:016x}",
            "name": f"Guest {number % 700}",
            "kind": "chat",
            "text": f"message {number}: " + "so much to say " * (number % 8),
            "sent": "2026-01-01T00:00:00Z",
        }
    ).encode()


def weight() -> None:
    bundle = load_bundle(print)
    total = sum(len(gzip.compress(body, 9, mtime=0)) for body in bundle.files.values())
    whole = sum(map(len, bundle.files.values()))
    print(f"bundle, all files            {total:,} bytes gzipped, {whole:,} plain (wanted: at most 120,000 gzipped)")


def opened(browser: Browser, url: str) -> Page:
    # What is evaluated here is text, which the page's own policy forbids.
    context = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{url}#{LOBBY}")
    return page


def enter(page: Page) -> None:
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Enter as guest").click()
    page.locator("#status-words", has_text="Connected").wait_for()


def starts(browser: Browser, url: str) -> None:
    interactive, connected = [], []
    for _ in range(STARTS):
        page = opened(browser, url)
        enter(page)
        at = page.evaluate("window.marks.at")
        interactive.append(at["interactive"])
        connected.append(at["connected"] - at["clicked"])
        page.context.close()
    print(f"first screen interactive     {summary(interactive)} (wanted: at most 1,000 ms)")
    print(f"connected after the click    {summary(connected)} (wanted: at most 2,000 ms)")


def flood(browser: Browser, url: str, env: dict[str, str]) -> None:
    page = opened(browser, url)
    enter(page)
    page.evaluate("window.marks.frames.length = window.marks.long.length = 0")
    run_speaker(env, FLOOD_PER_S * FLOOD_S, FLOOD_PER_S)
    page.get_by_text(f"message {FLOOD_PER_S * FLOOD_S - 1}:").wait_for()
    found = page.evaluate("window.marks")
    frames = sorted(found["frames"])
    rows = page.locator("#messages > li").count()
    print(
        f"frames at {FLOOD_PER_S:,} messages/s    median {statistics.median(frames):.1f} ms, "
        f"p99 {frames[int(len(frames) * 0.99)]:.1f}, longest {frames[-1]:.1f}, {len(frames)} frames in {FLOOD_S} s; "
        f"over 100 ms: {sum(frame > 100 for frame in frames)} (wanted: none)"
    )
    longest = max(found["long"], default=0.0)
    print(
        f"longest work in one frame    {longest:.0f} ms ({len(found['long'])} over 50 ms); {rows} rows in the document"
    )
    page.context.close()


def memory(browser: Browser, url: str, env: dict[str, str]) -> None:
    page = opened(browser, url)
    enter(page)
    page.evaluate("window.marks.enough = true")  # the meter keeps what it counts, which is not the page's doing
    tools = page.context.new_cdp_session(page)
    heap = []
    for _ in range(HOURS):
        run_speaker(env, AN_HOUR, FAST_PER_S)
        page.wait_for_timeout(500)
        tools.send("HeapProfiler.collectGarbage")
        heap.append(tools.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
    print(
        f"heap, hours 1 to {HOURS} at 1/s     {', '.join(f'{each:.1f}' for each in heap)} MB "
        f"(compressed to {AN_HOUR / FAST_PER_S:.1f} s an hour; wanted: no growth once the window is full)"
    )
    page.context.close()


def run_speaker(env: dict[str, str], count: int, rate: int) -> None:
    subprocess.run([sys.executable, __file__, "speak", str(count), str(rate)], env=env, check=True)


def summary(values: list[float]) -> str:
    return (
        f"median {statistics.median(values):5.0f} ms (least {min(values):.0f}, largest {max(values):.0f}, "
        f"{len(values)} starts)"
    )


def main() -> None:
    if sys.argv[1:2] == ["speak"]:
        asyncio.run(speak(int(sys.argv[2]), int(sys.argv[3])))
        return
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with served() as (url, env), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        print(f"{os.cpu_count()} cores, Chromium {browser.version}, headless, no GPU")
        weight()
        starts(browser, url)
        flood(browser, url, env)
        memory(browser, url, env)
        browser.close()


if __name__ == "__main__":
    main()
