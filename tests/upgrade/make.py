"""Makes the home that later versions must open: `python -m tests.upgrade.make` (PYTHONPATH=.:proto).

It goes to `tests/upgrade/homes/VERSION/`, with `told.json`: what was read of it then. A folder that was
released is never made again; a new version gets a new one (`--name` for a format that changed in between).
Times are turned by hand, so only the black box's rows differ from one making to the next. `0.1.0-ring1` was
made with the last commit whose black boxes had format 1.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

from exptrack_agent.blackbox import BlackBox, Places
from exptrack_agent.rows import RowLog
from exptrack_agent.settings import BoxLimits
from exptrack_agent.version import __version__
from exptrack_daemon.delivery.lane import Lane, LaneParts
from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.sinks import catalog, tensorboard
from exptrack_daemon.sinks.base import OpenSink, SinkContext
from exptrack_proto.frame import Kind
from exptrack_proto.records import ConfigUpdate, Note, Open, Row, Summary, TextItem, to_msgpack
from tests.support.clocks import FakeClock
from tests.support.deliveries import drive
from tests.support.homes import SECOND_NS, START_NS, HomeBuilder
from tests.support.stores import MIDDLING, deliver
from tests.upgrade.telling import told_by

HOMES = Path(__file__).parent / "homes"
RUN, RESUMED, LEFT = "golden", "golden-again", "golden-left"
STREAM = bytes(range(16))
WORDS = {
    "loss": 0.5,
    "nested/deep": -0.0,
    "big": 2**63,
    "flag": True,
    "word": "größer",
    "none": None,
}


def make_home(path: Path) -> None:
    """Runs of many kinds, delivered to the local sinks; and what a trainer left that died."""
    builder = HomeBuilder(path)
    run = builder.run(RUN)
    first = run.stream(
        config={"lr": 0.1, "layers": [1, 2]}, tags=["a", "b"], notes="kept", world_size=2
    )
    second = run.stream(rank=1, world_size=2)
    for step in range(150):
        values = {"loss": 1 / (step + 1), "odd": (math.nan, math.inf, -math.inf, step)[step % 4]}
        first.rows(Row(step, START_NS + step * SECOND_NS, values))
        second.rows(Row(step, START_NS + step * SECOND_NS, {"loss": -float(step)}))
    first.rows(*[Row(step, START_NS + step, {"wide": step * 0.1}) for step in range(-3, 400, 7)])
    first.rows(Row(7, START_NS, WORDS))
    first.lose(5, "memory and spool were full")
    first.put(TextItem(time_ns=START_NS, step=3, name="said", text="a text"))
    first.put(ConfigUpdate(time_ns=START_NS, config='{"lr": 0.2}'))
    first.put(Summary(time_ns=START_NS, values='{"best": 0.25}'))
    second.refuse(2, "malformed")
    first.close()
    run.close()
    again = builder.run(RESUMED)
    for attempt in range(2):
        stream = again.stream(resumed=attempt > 0)
        for step in range(attempt * 20, 40):
            stream.log({"loss": float(step + attempt)}, step)
        stream.put(Note(time_ns=START_NS, text="a note"))
        if attempt:
            stream.close("failed", 1)
    again.close()
    for run_id in (RUN, RESUMED):
        deliver(builder.path, run_id, sizes=MIDDLING)
        for name, open_sink in (
            ("catalog", catalog.open_sink),
            ("tensorboard", tensorboard.open_sink),
        ):
            _deliver(builder.path, run_id, name, open_sink)
    _leave_box(builder.home)


def _deliver(home: Path, run_id: str, name: str, open_sink: OpenSink) -> Lane:
    where, clock = Home(home), FakeClock()
    parts = LaneParts(
        name=name,
        home=where,
        files=OsFiles(),
        clock=clock,
        open_sink=open_sink,
        batch_bytes=1 << 20,
        batch_age_s=0.5,
    )
    lane = Lane(run_id, parts, SinkContext(where, where.run(run_id), {}, clock, lambda _pid: None))
    drive(lane, clock, 30.0)
    lane.close()
    return lane


def _leave_box(home: Home) -> None:
    """A trainer that died while no daemon took its rows: the last ones stand in the ring only."""
    with tempfile.TemporaryDirectory() as folder:
        alive = {name: Path(folder) / name / STREAM.hex() for name in ("rings", "spool")}
        limits = BoxLimits(segment_bytes=8_192, burst_segments=99, keep_free_bytes=0)
        box = BlackBox(LEFT, STREAM, Places(alive["rings"], alive["spool"]), limits)
        log = RowLog(box, strict=True)
        log.put_item(to_msgpack(Open(time_ns=START_NS, project="demo", name=LEFT)), Kind.OPEN)
        for step in range(500):
            log.log({"loss": step / 2}, step=step)
            if step % 40 == 0 and step < 450:
                log.close_rows()
                list(box.take())
                box.spool()
        log.close_rows()
        list(box.take())
        log.log({"loss": 250.0}, step=500)
        for name, place in alive.items():
            shutil.copytree(place, home.path / name / place.name)
        box.close(keep=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.make", description=__doc__)
    parser.add_argument("--name", default=__version__)
    target = HOMES / parser.parse_args().name
    shutil.rmtree(target, ignore_errors=True)
    make_home(target / "home")
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(target / "home", Path(folder) / "home")
        told = told_by(copy)
    (target / "told.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
