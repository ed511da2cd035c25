"""Log records in a run: levels, bounds, and no way round into itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import exptrack_agent as xt
from exptrack_agent.integrations.pace import Pace
from exptrack_agent.integrations.python_logging import RunHandler
from tests.unit.integrations.reading import recovered


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.python_logging")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def test_records_become_texts_with_their_level_and_number(home: Path, logger: logging.Logger):
    run = xt.init(home=home, mode="offline")
    logger.addHandler(RunHandler(run, logging.INFO))
    logger.debug("too low")
    logger.info("one %d", 1)
    logger.error("two")
    run.log({"loss": 1.0})
    run.finish()
    logger.error("after the end")
    (kept,) = recovered(home)
    assert kept.texts("logs") == [
        "**INFO** `tests.python_logging` one 1",
        "**ERROR** `tests.python_logging` two",
    ]
    assert [item.step for item in kept.media("TextItem")] == [0, 1]
    assert kept.series("loss") == [(0, 1.0)]  # the lines did not count as the run's steps


def test_a_flood_is_bounded_and_the_next_line_says_how_much_was_left_out(
    home: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr("exptrack_agent.integrations.python_logging.time.monotonic", lambda: now[0])
    run = xt.init(home=home, mode="offline")
    handler = RunHandler(run, per_s=1, burst=3)
    logger.addHandler(handler)
    for number in range(10):
        logger.info("line %d", number)
    now[0] = 1.0
    logger.info("later")
    assert handler.lines == 4
    monkeypatch.undo()
    run.finish()
    (kept,) = recovered(home)
    assert kept.texts("logs")[-1].startswith("*(7 lines left out)*")


def test_our_own_words_and_records_from_within_are_not_forwarded(
    home: Path, logger: logging.Logger
):
    run = xt.init(home=home, mode="offline")
    handler = RunHandler(run)

    class Talkative(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            logger.warning("said while formatting")
            return super().format(record)

    handler.setFormatter(Talkative())
    logger.addHandler(handler)
    logging.getLogger("exptrack").addHandler(handler)
    try:
        logger.info("hello")
        logging.getLogger("exptrack").warning("about the run")
    finally:
        logging.getLogger("exptrack").removeHandler(handler)
    run.finish()
    (kept,) = recovered(home)
    assert len(kept.texts("logs")) == 1


def test_records_of_a_level_become_alerts_when_asked(home: Path, logger: logging.Logger):
    run = xt.init(home=home, mode="offline")
    logger.addHandler(RunHandler(run, alert_level=logging.ERROR))
    logger.warning("fine")
    logger.critical("loss is NaN")
    run.finish()
    (kept,) = recovered(home)
    assert [(alert.level, alert.title) for alert in kept.view.facts.alerts] == [
        ("error", "loss is NaN")
    ]


def test_a_record_that_cannot_be_formatted_is_loggings_own_business(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    run = xt.init(home=home, mode="offline")
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None)
    RunHandler(run).handle(record)
    run.finish()
    assert "Logging error" in capsys.readouterr().err


def test_a_pace_fills_with_time_up_to_its_burst():
    pace = Pace(per_s=2, burst=2)
    assert [pace.lets_pass(0.0) for _ in range(3)] == [True, True, False]
    assert [pace.lets_pass(0.5) for _ in range(2)] == [True, False]
    assert [pace.lets_pass(100.0) for _ in range(3)] == [True, True, False]
    assert pace.take_left_out() == 3
    assert pace.take_left_out() == 0


def test_a_pace_of_nothing_is_refused():
    with pytest.raises(ValueError, match="more than 0 lines"):
        Pace(per_s=0, burst=1)
