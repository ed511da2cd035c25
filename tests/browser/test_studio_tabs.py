"""The Configuration, Training and Monitoring tabs, as somebody uses them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exptrack_daemon import supervisor
from tests.browser.conftest import Window
from tests.browser.studio import Studio
from tests.support.homes import HomeBuilder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

sync = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")
expect = sync.expect
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ATTACK = '<img src=x onerror="document.title=1">[a](javascript:b)'
SCRIPTS = """
[[script]]
name = "counts"
about = "Logs ten steps"
argv = ["{python}", "counts.py", "{config}"]

[[script]]
name = "fails"
argv = ["{python}", "-c", "raise SystemExit('no data in /data')"]
"""
COUNTS = """
import sys
import exptrack_agent as xt
with xt.ExperimentTracker(xt.ExperimentConfig.load(sys.argv[1])) as tracker:
    for step in range(10):
        tracker.log_training_step(step=step, loss=1 / (step + 1))
print("all steps are logged")
"""


class Tabs(Studio):
    """A studio that was looked at before its home had a run and two scripts that may be launched."""

    unused: dict[str, str]
    """What the tabs said of a home without runs, by tab."""


@pytest.fixture(scope="module")
def tabs(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tabs]:
    """One server for all tests: Gradio and torch are loaded once."""
    home = tmp_path_factory.mktemp("tabs") / "home"
    home.mkdir(mode=0o700)
    studio = Tabs(home)
    studio.begin()
    window = Window(
        browser
    )  # stays open to the end: a server that is told to stop ends its streams
    try:
        studio.unused = unused_tabs(window, studio)
        HomeBuilder(home).finished_run("run1", rows=40, name=ATTACK, project=ATTACK, notes=ATTACK)
        training(home)
        (home / "launch.toml").write_text(SCRIPTS)
        (home / "counts.py").write_text(COUNTS)
        yield studio
    finally:
        try:
            studio.end()
        finally:
            window.close()
            supervisor.stop(home)


def training(home: Path) -> None:
    """A run that logged all that the picture shows."""
    run = HomeBuilder(home).run("run2", age_s=100)
    stream = run.stream(name="resnet", project="spiral", config={"lr": 0.3, "layers": 18})
    for step in range(200):
        left = math.exp(-step / 60)
        values = {"train/loss": left, "train/accuracy": 1 - 0.7 * left}
        stream.log(values | {"gradients/norm": 2 * left * (1 + step % 7 / 20)}, step)
    stream.close()
    run.close()


def unused_tabs(window: Window, studio: Studio) -> dict[str, str]:
    page = opened(window, studio, "monitoring")
    empty = page.get_by_label("No runs yet")
    expect(empty).not_to_have_value("")
    expect(page.locator("#xt-health")).to_contain_text("Disk")
    said = {"monitoring": f"{empty.input_value()} {page.locator('#xt-health').inner_text()}"}
    page.locator("#bar a[data-page=training]").click()
    expect(page.get_by_role("heading", name="Training", exact=True)).to_be_visible()
    how = page.get_by_label("How to allow a script")
    expect(how).not_to_have_value("")
    expect(page.locator("#xt-launch")).to_be_disabled()
    said["training"] = f"{box(page, 'state').input_value()} {how.input_value()}"
    return said


def opened(window: Window, studio: Studio, tab: str) -> Page:
    page = window.open(studio, f"/ui/?tab={tab}")
    expect(page.locator(f"#bar a[data-page={tab}]")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("heading", name=tab.title(), exact=True)).to_be_visible()
    return page


def box(page: Page, name: str) -> Locator:
    return page.locator(f"#xt-{name} input, #xt-{name} textarea").first


def choose(page: Page, name: str, option: str) -> None:
    box(page, name).click()
    page.get_by_role("option", name=option).click()


def test_a_preset_is_changed_refused_in_words_saved_in_versions_and_restored(
    tabs: Tabs, window: Window, picture: Callable[..., None]
) -> None:
    page = opened(window, tabs, "configuration")
    choose(page, "preset", "Basic Tracking")
    expect(box(page, "log_interval")).to_have_value("10")
    expect(box(page, "experiment_name")).to_have_value("basic_experiment")
    picture(page, "studio-tab-configuration")
    box(page, "log_interval").fill("0")
    wrong = page.locator(".xt-wrong textarea").first
    expect(wrong).to_have_value("log_interval is a number of steps, 1 or more, not 0")
    page.locator("#xt-save").click()
    expect(page.get_by_label("What happened").first).to_have_value(re.compile("Not saved: log_int"))
    picture(page, "tab-configuration-wrong")
    box(page, "log_interval").fill("3")
    expect(page.locator(".xt-wrong")).to_have_count(0)
    the_form_is_kept_while_tabs_change_by_keyboard_too(page)
    save_compare_and_restore(page, picture)


def the_form_is_kept_while_tabs_change_by_keyboard_too(page: Page) -> None:
    page.locator("#bar a[data-page=training]").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("tab=training"))
    expect(page.locator("#xt-start")).to_be_visible()
    page.locator("#bar a[data-page=configuration]").click()
    expect(box(page, "log_interval")).to_have_value("3")


def save_compare_and_restore(page: Page, picture: Callable[..., None]) -> None:
    told = page.get_by_label("What happened").first
    box(page, "experiment_name").fill(f"versions {ATTACK}")
    page.locator("#xt-save").click()
    expect(told).to_have_value(re.compile("^Saved as version"))
    first = str(box(page, "after").input_value())
    box(page, "log_interval").fill("7")
    box(page, "tags").fill("a, b")
    page.locator("#xt-save").click()
    expect(box(page, "after")).not_to_have_value(first)
    expect(box(page, "before")).to_have_value(first)
    page.locator("#xt-diff").click()
    expect(page.locator("#xt-changes")).to_contain_text("log_interval")
    expect(page.locator("#xt-changes")).to_contain_text('["a", "b"]')
    picture(page, "tab-configuration-versions")
    page.locator("#xt-restore").click()
    expect(told).to_have_value(re.compile("is the newest again"))
    expect(box(page, "log_interval")).to_have_value("3")
    page.get_by_role("button", name="As JSON").click()
    page.get_by_role("button", name="Write what the form says").click()
    expect(box(page, "json")).not_to_have_value("")
    assert json.loads(box(page, "json").input_value())["experiment_name"] == f"versions {ATTACK}"
    box(page, "json").fill('{"log_interval": 4, "lag": 1}')
    page.get_by_role("button", name="Read into the form").click()
    expect(page.get_by_label("What happened").last).to_have_value(re.compile("no setting 'lag'"))


def test_the_simulation_is_started_watched_and_stopped(
    tabs: Tabs, window: Window, picture: Callable[..., None]
) -> None:
    page = opened(window, tabs, "training")
    box(page, "steps").fill("2.5")
    page.locator("#xt-start").click()
    expect(page.locator(".xt-wrong textarea").first).to_have_value(re.compile("steps is a whole"))
    box(page, "steps").fill("100000")
    page.locator("#xt-start").click()
    expect(box(page, "state")).to_have_value("Running")
    expect(box(page, "step")).to_have_value(re.compile("of 100,000 steps"))
    expect(box(page, "loss")).not_to_have_value("")
    charts = page.frame_locator("iframe.xt-charts").first
    expect(charts.get_by_text("gradients/norm").first).to_be_visible()
    expect(charts.locator("#bar")).to_be_hidden()
    before = box(page, "step").input_value()
    expect(box(page, "step")).not_to_have_value(before)
    picture(page, "studio-tab-training")
    page.locator("#xt-stop").click()
    expect(box(page, "state")).to_have_value("Stopped, as you asked")
    expect(box(page, "output")).to_have_value(re.compile("stopped after [0-9]+"))
    expect(page.locator("#xt-jobs")).to_contain_text("stopped")
    with page.expect_popup() as popup:
        page.locator("#xt-open").click()
    expect(popup.value.get_by_role("heading").first).to_contain_text("experiment_")
    expect(popup.value.get_by_text("finished").first).to_be_visible()


def test_an_allowed_script_gets_its_configuration_and_a_failing_one_shows_its_last_lines(
    tabs: Tabs, window: Window, picture: Callable[..., None]
) -> None:
    page = opened(window, tabs, "training")
    choose(page, "source", "Preset: Defaults")
    expect(page.get_by_label("What it does")).to_have_value("Logs ten steps")
    page.locator("#xt-launch").click()
    expect(box(page, "output")).to_have_value(re.compile("all steps are logged"))
    expect(box(page, "state")).to_have_value("Finished")
    expect(box(page, "step")).to_have_value("step 9")
    choose(page, "script", "fails")
    page.locator("#xt-launch").click()
    expect(box(page, "state")).to_have_value("Failed: exit code 1; its last lines stand below")
    expect(box(page, "output")).to_have_value("no data in /data\n")
    picture(page, "tab-training-failed")


def test_a_run_is_seen_whole_and_its_texts_stay_texts(
    tabs: Tabs, window: Window, picture: Callable[..., None]
) -> None:
    page = opened(window, tabs, "monitoring")
    choose(page, "run", ATTACK)
    expect(page.locator("#xt-summary")).to_contain_text("run1")
    expect(page.locator("#xt-summary")).to_contain_text(ATTACK)
    expect(page.locator("#xt-values")).to_contain_text("0.025")
    drawn = page.locator("img.xt-picture")
    expect(drawn).to_have_attribute("src", re.compile("theme=light"))
    expect(drawn).to_have_js_property("complete", True)
    assert drawn.evaluate("image => image.naturalWidth") > 500
    expect(page.locator("#xt-health")).to_contain_text("Disk")
    picture(page, "tab-monitoring-attack")
    choose(page, "run", "spiral / resnet")
    expect(page.locator("#xt-values")).to_contain_text("gradients/norm")
    expect(drawn).to_have_attribute("src", re.compile("run2"))
    expect(drawn).to_have_js_property("complete", True)
    picture(page, "studio-tab-monitoring")
    page.get_by_role("button", name="Theme: system").click()
    expect(drawn).to_have_attribute("src", re.compile("theme=dark"))
    assert page.title() == "exptrack studio"
    assert page.locator("img[src=x]").count() == 0
    tensorboard_is_started_and_stopped(page)


def tensorboard_is_started_and_stopped(page: Page) -> None:
    page.locator("#xt-board-start").click()
    expect(box(page, "board")).to_have_value(
        re.compile(r"TensorBoard runs at http://(localhost|127\.0\.0\.1):")
    )
    expect(page.locator("#xt-board-open")).to_be_visible()
    page.locator("#xt-board-stop").click()
    expect(box(page, "board")).to_have_value(re.compile("does not run"))


def test_no_tab_is_wider_than_the_screen_or_hard_to_read(
    tabs: Tabs, window: Window, picture: Callable[..., None]
) -> None:
    page = opened(window, tabs, "configuration")
    for theme, width in (("light", 390), ("dark", 1280)):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 800})
        for tab in ("configuration", "training", "monitoring"):
            page.locator(f"#bar a[data-page={tab}]").click()
            expect(page.get_by_role("heading", name=tab.title(), exact=True)).to_be_visible()
            for grid in page.locator("[role=grid]:visible").all():  # rows are drawn a moment later
                expect(grid.locator("[role=gridcell]").first).to_be_attached()
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            picture(page, f"tab-{tab}-{theme}-{width}")
            assert barriers(page) == {}, (tab, theme)


def barriers(page: Page) -> dict[str, str]:
    """What axe finds: by rule, the first element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # the grid around it takes the arrow keys and scrolls it, which axe does not know
    rules = {"scrollable-region-focusable": {"enabled": False}}
    options = {"runOnly": ["wcag2a", "wcag2aa"], "iframes": False, "rules": rules}
    found = axe.run(page, options=options).response["violations"]
    return {one["id"]: one["nodes"][0]["html"][:200] for one in found}


def test_without_a_run_every_tab_says_what_to_do(tabs: Tabs) -> None:
    assert "Start the simulation" in tabs.unused["monitoring"]
    assert "stopped" in tabs.unused["monitoring"]
    assert "Nothing was started yet" in tabs.unused["training"]
    assert "launch.toml" in tabs.unused["training"]


def test_a_program_saves_launches_and_looks_with_the_token(tabs: Tabs) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    token = tabs.start.partition("token=")[2]
    headers = {"Authorization": f"Bearer {token}"}
    client = gradio_client.Client(
        f"{tabs.address}/ui/", headers=headers, verbose=False, httpx_kwargs={"timeout": 90}
    )
    try:
        words = client.predict("by a program", api_name="/save_version")[0]
        assert "version" in str(words)
        summary = client.predict("run1", api_name="/monitor_run")[2]
        assert ["Id", "run1"] in summary["data"]
        words = client.predict("missing", api_name="/launch_script")
        assert "Not started: launch.toml allows no script 'missing'" in str(words)
    finally:
        client.close()
