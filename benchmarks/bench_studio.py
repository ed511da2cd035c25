"""How long does the studio take, from a click to the drawn chart?

A real `exptrack ui` over a home with parts and pyramids, and headless Chromium. Set against the same question
asked by a bare `fetch` in the same page, whose answer nobody draws, by turns: what is above it is ours. The
runs page stands beside its own bare requests. Live: the page's own work while a run grows, by tick.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bench_runs import catalogue
from benchmarks.harness import Plan, main
from benchmarks.homes import temporary_home
from benchmarks.results import Goal, Report
from exptrack_daemon.home import Home
from exptrack_daemon.store.compaction import Sizes
from exptrack_proto.records import Row
from tests.browser.homes import many_runs, unsynced
from tests.browser.studio import Studio
from tests.support.homes import SECOND_NS, START_NS, HomeBuilder
from tests.support.stores import deliver

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page, Request, Response

QUESTION = "How long does the studio take, from a click to the drawn chart?"
LONG, LONG_FETCH, LONG_BYTES = "long run: first chart", "long run: bare fetch", "long run: bytes"
MANY, MANY_FETCH = "50 runs: one chart", "50 runs: one chart, bare fetch"
CARDS, CARDS_FETCH, CARDS_HEAP = (
    "50 runs: 20 charts",
    "50 runs: 20 charts, bare fetch",
    "50 runs: heap",
)
LIST, LIST_FETCH = "5,000 runs: page", "5,000 runs: bare fetch"
TICK = "live: page work a tick"
GOALS = [
    Goal(measure=LONG, at_most=300, baseline=LONG_FETCH),
    Goal(measure=LONG_BYTES, at_most=20),
    Goal(measure=MANY, at_most=400, baseline=MANY_FETCH),
    Goal(measure=CARDS, at_most=1_500, baseline=CARDS_FETCH),
    Goal(measure=CARDS_HEAP, at_most=60),
    Goal(measure=LIST, at_most=1_000, baseline=LIST_FETCH),
    Goal(measure=TICK, at_most=20),
]
_METRICS = 20
_ROWS_PER_FRAME = 10_000
_TICKS = 8
_DRAWN = """async ([route, cards]) => {
  const begun = performance.now();
  location.hash = route;
  for (;;) {
    const shown = [...document.querySelectorAll("main .card:has(canvas) .words")];
    if (shown.filter((one) => one.textContent !== "…").length >= cards) break;
    await new Promise((next) => requestAnimationFrame(next));
  }
  await new Promise((next) => requestAnimationFrame(next));
  return performance.now() - begun;
}"""
_LISTED = """async (route) => {
  const begun = performance.now();
  location.hash = route;
  while (!document.querySelector("main tr[data-run]"))
    await new Promise((next) => requestAnimationFrame(next));
  return performance.now() - begun;
}"""
_FETCHED = """async (questions) => {
  const begun = performance.now();
  for (const [path, body] of questions) {
    const posted = body && { method: "POST", headers: { "Content-Type": "application/json" }, body };
    await (await fetch(path, posted || {})).arrayBuffer();
  }
  return performance.now() - begun;
}"""


def run(plan: Plan, report: Report) -> None:
    repeats = plan.pick(7, 3)
    with temporary_home() as home, temporary_home() as crowd:
        sizes = make_homes(home, crowd, plan)
        with chromium() as browser, served(home) as studio, served(crowd) as crowded:
            charts, listing = opened(browser, studio), opened(browser, crowded)
            heard = Recorder(charts)
            for repeat in range(repeats + 1):  # the first warms the server, and does not count
                plan.say(f"repeat {repeat} of {repeats}")
                found = one_round(charts, heard, listing)
                for name, (unit, value) in found.items() if repeat else ():
                    report.add(name, unit, value)
            plan.say("a run that grows")
            for value in live(charts, home):
                report.add(TICK, "ms", value)
    report.notes.append(sizes)
    report.notes.append(
        "headless Chromium without a GPU; server warm; 'bare fetch': the same requests, nothing drawn"
    )


def make_homes(home: Home, crowd: Home, plan: Plan) -> str:
    """One long run, fifty of 20 metrics, and very many short ones."""
    long, points, runs = plan.pick((10_000_000, 100_000, 5_000), (500_000, 5_000, 1_000))
    builder = HomeBuilder(home.path)
    with unsynced():
        plan.say(f"a run of {long:,} points")
        write_run(builder, "long", long, ["loss"])
        for number in range(50):
            plan.say(f"run {number + 1} of 50")
            write_run(builder, f"wide{number:02d}", points, ["loss"], extra=_METRICS - 1)
        catalogue(home)
        plan.say(f"{runs:,} short runs")
        many_runs(crowd.path, runs)
    wide = f"50 runs × {points:,} of one metric and {points // 10:,} of 19 more"
    return f"{long:,} points; {wide}; {runs:,} runs"


def write_run(
    builder: HomeBuilder, run_id: str, points: int, names: list[str], extra: int = 0
) -> None:
    """Its journal, then its parts and pyramid."""
    dice = np.random.default_rng(len(run_id))
    noise = dice.normal(0, 0.05, points)
    run = builder.run(run_id)
    stream = run.stream(name=run_id, project="bench")
    for start in range(0, points, _ROWS_PER_FRAME):
        steps = range(start, min(points, start + _ROWS_PER_FRAME))
        stream.rows(
            *(
                Row(step, START_NS + step * 1_000_000, values_at(step, noise, names, extra))
                for step in steps
            )
        )
    stream.close()
    run.close()
    deliver(builder.path, run_id, sizes=Sizes(), batch_bytes=8 << 20)


def values_at(step: int, noise: Any, names: list[str], extra: int) -> dict[str, object]:
    loss = 1 / (1 + step / 1e5) + float(noise[step])
    values: dict[str, object] = dict.fromkeys(names, loss)
    if step % 10 == 0:
        values |= {f"more/{number}": loss + number for number in range(extra)}
    return values


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    arguments = ["--headless=new", "--no-sandbox", "--enable-precise-memory-info"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def served(home: Home) -> Iterator[Studio]:
    studio = Studio(home.path)
    studio.begin()
    try:
        yield studio
    finally:
        studio.end()


def opened(browser: Browser, studio: Studio) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(studio.start)
    page.wait_for_selector("tr[data-run]")
    return page


class Recorder:
    """What the page asked its API, and how large the charts' answers were."""

    def __init__(self, page: Page) -> None:
        self.asked: list[list[str | None]] = []
        self.frame_bytes = 0
        page.on("request", self._heard)
        page.on("response", self._answered)

    def begin(self) -> None:
        self.asked, self.frame_bytes = [], 0

    def questions(self, ending: str) -> list[list[str | None]]:
        return [one for one in self.asked if str(one[0]).partition("?")[0].endswith(ending)]

    def _heard(self, request: Request) -> None:
        if "/api/v1/" in request.url:
            self.asked.append([request.url, request.post_data])

    def _answered(self, response: Response) -> None:
        if response.url.endswith("/charts"):
            self.frame_bytes += int(response.headers["content-length"])


def one_round(charts: Page, heard: Recorder, listing: Page) -> dict[str, tuple[str, float]]:
    """Every question once: drawn, then asked barely with the very same requests."""
    fifty = ",".join(f"wide{number:02d}" for number in range(50))
    found: dict[str, tuple[str, float]] = {}
    for drawn, bare, route, cards in (
        (LONG, LONG_FETCH, "#/charts?runs=long", 1),
        (MANY, MANY_FETCH, f"#/charts?runs={fifty}&q=^loss$", 1),
        (CARDS, CARDS_FETCH, f"#/charts?runs={fifty}", _METRICS),
    ):
        charts.set_viewport_size({"width": 1280, "height": 300 * cards + 400})
        away(charts)
        heard.begin()
        found[drawn] = ("ms", charts.evaluate(_DRAWN, [route, cards]))
        charts.wait_for_load_state("networkidle")
        if drawn == LONG:
            found[LONG_BYTES] = ("kB", heard.frame_bytes / 1_000)
        if drawn == CARDS:
            found[CARDS_HEAP] = ("MB", heap_mb(charts))
        found[bare] = ("ms", charts.evaluate(_FETCHED, heard.questions("/charts")))
    away(listing)
    found[LIST] = ("ms", listing.evaluate(_LISTED, "#/runs?columns=loss"))
    bare_list = ["/api/v1/runs?sort=-created&limit=100&offset=0", None]
    found[LIST_FETCH] = ("ms", listing.evaluate(_FETCHED, [bare_list]))
    return found


def away(page: Page) -> None:
    """To a page without anything, with what was there before collected."""
    page.evaluate("location.hash = '#/nowhere'")
    page.wait_for_selector("main.page-none")
    page.wait_for_load_state("networkidle")


def heap_mb(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = page.evaluate("performance.memory.usedJSHeapSize")
    session.detach()
    return used / 1e6


def live(page: Page, home: Home) -> Iterator[float]:
    """Milliseconds of the page's main thread for each of some ticks with 10,000 new points for six charts."""
    run = HomeBuilder(home.path).run("growing", age_s=-1_000_000)
    stream = run.stream(name="growing", project="bench")
    names = [f"live/{number}" for number in range(6)]
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def grow(tick: int) -> None:
        steps = range(tick * 10_000, (tick + 1) * 10_000)
        with unsynced():
            rows = [
                Row(at, START_NS + at * SECOND_NS // 10_000, dict.fromkeys(names, 1.0))
                for at in steps
            ]
            for start in range(0, len(rows), 2_000):
                stream.rows(*rows[start : start + 2_000])

    grow(0)
    away(page)
    page.evaluate(_DRAWN, ["#/charts?runs=growing", len(names)])
    for tick in range(1, _TICKS + 1):
        grow(tick)
        time.sleep(1.2)  # the server looks at the home about once a second
        before = task_ms(session)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        time.sleep(1.5)
        yield task_ms(session) - before
    run.close()


def task_ms(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration") * 1_000


if __name__ == "__main__":
    main(__file__)
