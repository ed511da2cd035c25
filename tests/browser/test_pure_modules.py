"""The pages' pure modules, run where they run: in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.studio import Studio

pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def page(browser: Browser, studio: Studio) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(studio.start)
    yield page
    context.close()


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """What the function of the module gives; NaN travels both ways."""
    return page.evaluate(
        """async ([module, name, values]) => {
          const made = (await import(`/static/js/pure/${module}.js`))[name](...values);
          return ArrayBuffer.isView(made) ? Array.from(made) : made;
        }""",
        [module, function, list(arguments)],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456789, "0.12346"), (1e-7, "1e-7"), (1234567, "1,234,567"), (123456789.5, "1.235e8"), (0, "0"),
        ("NaN", "NaN"), ("Infinity", "∞"), (None, "–"), (False, "false"), ("plain", "plain"), ([1], "[1]"),
    ],
)  # fmt: skip
def test_values_are_short(page: Page, value: Any, text: str) -> None:
    assert call(page, "format", "value", value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "20 ms"), (12.34, "12.3 s"), (200, "3 m 20 s"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(page: Page, seconds: float, text: str) -> None:
    assert call(page, "format", "duration", seconds) == text


def test_smoothing_keeps_a_constant_and_leaves_empty_cells_empty(page: Page) -> None:
    nan = float("nan")
    smooth = call(page, "lines", "smoothed", [2.0, nan, 2.0, 2.0], 0.9, 0.001)
    assert [value if value == value else None for value in smooth] == pytest.approx([2, None, 2, 2])


def test_smoothing_does_not_depend_on_the_width_of_cells(page: Page) -> None:
    steps = [float(at) for at in range(2000)]
    fine = call(page, "lines", "smoothed", steps, 0.9, 1 / 2000)
    coarse = call(page, "lines", "smoothed", [at + 1.5 for at in steps[::4]], 0.9, 4 / 2000)
    assert coarse[-1] == pytest.approx(fine[-1], rel=0.01)


def test_limits_leave_out_outliers_and_count_them(page: Page) -> None:
    line = [at / 100 for at in range(100)] + [1e6]
    robust = call(page, "lines", "yLimits", [line], {"isRobust": True, "isLog": False})
    assert robust["hi"] < 2
    assert robust["outside"] == 1
    all_of_it = call(page, "lines", "yLimits", [line], {"isRobust": False, "isLog": False})
    assert all_of_it["hi"] > 1e6
    assert call(page, "lines", "yLimits", [[]], {"isRobust": True, "isLog": True})["lo"] > 0


@pytest.mark.parametrize(
    ("state", "wait_ms"),
    [
        ({"isVisible": False, "isRunning": True, "failures": 0}, None),
        ({"isVisible": True, "isRunning": True, "failures": 0}, 1000),
        ({"isVisible": True, "isRunning": False, "failures": 0}, 10000),
        ({"isVisible": True, "isRunning": False, "failures": 20}, 15000),
    ],
)
def test_changes_are_asked_for_as_often_as_they_come(page: Page, state: Any, wait_ms: Any) -> None:
    assert call(page, "polling", "nextPollMs", state) == wait_ms


def test_addresses_go_both_ways(page: Page) -> None:
    address = call(page, "route", "formatRoute", "run", {"x": "a,b", "none": ""}, "an id")
    assert address == "#/run/an%20id?x=a,b"
    route = call(page, "route", "parseRoute", address)
    assert route == {"page": "run", "rest": "an id", "params": {"x": "a,b"}}


def test_metrics_stand_by_prefix_the_systems_last(page: Page) -> None:
    names = ["sys/cpu", "train/b10", "train/b2", "lr", "exptrack/log_ms"]
    metrics = [{"name": name, "is_system": name == "sys/cpu"} for name in names]
    groups = call(page, "metrics", "byPrefix", metrics)
    assert [group["name"] for group in groups] == ["Metrics", "train", "exptrack", "System: sys"]
    assert [metric["name"] for metric in groups[1]["items"]] == ["train/b2", "train/b10"]


def test_only_cards_in_view_have_a_place(page: Page) -> None:
    groups = [{"name": "a", "items": list(range(1000)), "isOpen": True}]
    sizes = {"columns": 3, "cardPx": 100, "gapPx": 10, "headPx": 40}
    placed = call(page, "windowing", "cardPlaces", groups, sizes)
    assert placed["height"] == 40 + 334 * 110
    seen = call(page, "windowing", "placesInView", placed["places"], 1000, 500, 0)
    assert [place["item"] for place in seen] == list(range(24, 42))


def test_seeds_of_one_setting_belong_together(page: Page) -> None:
    def run(name: str, lr: float, seed: int) -> dict[str, Any]:
        return {"id": name, "name": name, "flat": [["lr", lr], ["train.seed", seed]]}

    groups = call(page, "seeds", "grouped", [run("a", 0.1, 1), run("b", 0.2, 1), run("c", 0.1, 2)])
    assert [(group["label"], len(group["runs"])) for group in groups] == [
        ("lr 0.1", 2),
        ("lr 0.2", 1),
    ]


def test_epochs_between_logged_ones_are_spread(page: Page) -> None:
    nan = float("nan")
    placed = page.evaluate(
        """async ([values, epochs]) => {
          const { byEpoch } = await import("/static/js/pure/epochs.js");
          const made = byEpoch([{ id: "a", stats: { mean: values } }], new Map([["a", epochs]]), 5);
          return { ...made, lines: made.lines.map(({ stats }) => Array.from(stats.mean)) };
        }""",
        [[1.0, 2.0, 3.0, 4.0, 5.0], [0.0, nan, nan, nan, 2.0]],
    )
    assert placed["missing"] == []
    assert placed["lines"] == [[1.0, 2.0, 3.0, 4.0, 5.0]]


def test_a_single_value_has_no_deviation(page: Page) -> None:
    assert call(page, "seeds", "spread", [2.0, None, "NaN"]) == {
        "mean": 2,
        "deviation": None,
        "count": 1,
    }
    assert call(page, "seeds", "spread", [1.0, 3.0])["deviation"] == pytest.approx(2**0.5)
    assert call(page, "seeds", "spread", []) is None


def test_the_best_is_what_the_name_says_or_the_reader_chose(page: Page) -> None:
    found = page.evaluate(
        """async () => {
          const { formatWays, parseWays, wayOf, winnerOf } = await import("/static/js/pure/better.js");
          const chosen = parseWays("-lr|+a/b-c|0loss|x|");
          return [
            formatWays(chosen), wayOf("lr", null, chosen), wayOf("loss", "min", chosen),
            wayOf("acc", "max", chosen), wayOf("norm", null, chosen),
            winnerOf([3, "NaN", 1], -1), winnerOf([3, null, 1], 1), winnerOf([3], 1), winnerOf([3, 1], 0),
          ];
        }"""
    )
    assert found == ["-lr|+a/b-c|0loss", -1, 0, 1, 0, 2, 0, -1, -1]


def test_looking_for_media_takes_a_twentieth_of_the_time(page: Page) -> None:
    assert call(page, "polling", "nextMediaMs", 10) == 3000
    assert call(page, "polling", "nextMediaMs", 1000) == 20_000
