"""Homes for the browser tests: real journals, written without waiting for the disk."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from exptrack_daemon.store import open_home
from exptrack_daemon.store.catalog import open_writing
from exptrack_daemon.store.catalog_rows import Saved, save
from exptrack_proto.records import (
    Alert,
    Array,
    Artifact,
    Histogram,
    Image,
    Note,
    Row,
    Table,
    TextItem,
)
from tests.support.homes import SECOND_NS, START_NS, HomeBuilder, StreamBuilder

ROWS = 2_000
"""Of each run of the sweep: with its four metrics and a dozen runs about 100,000 points."""
NAN_STEP = 700
OUTLIER_STEP = 900
ATTACKS = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "'-window.hacked=1-'",
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
    "</title><script>window.hacked=1</script>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "\u202eevil\u202c\u0000\u001b[31m",
    "__proto__",
)


@contextlib.contextmanager
def unsynced() -> Iterator[None]:
    """Nothing that is written here has to survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: None)
        patch.setattr(os, "fsync", lambda _: None)
        yield


def empty_home(path: Path) -> None:
    """No runs."""


def vision(path: Path) -> None:
    """Four learning rates with three seeds each, and what can go wrong."""
    home, dice = HomeBuilder(path), random.Random(1)
    with unsynced():
        for index in range(12):
            _sweep_run(home, index, dice)


def _sweep_run(home: HomeBuilder, index: int, dice: random.Random) -> None:
    rate, seed = divmod(index, 3)
    config = {"lr": 10.0 ** -(1 + rate), "seed": seed, "optimizer": {"name": "adam", "beta": 0.9}}
    run = home.run(f"run{index:02d}")
    stream = run.stream(
        name=f"resnet-lr{rate}-seed{seed}",
        project="vision",
        tags=("baseline",) if rate == 0 else ("sweep",),
        config=config,
        notes="the one in the paper" if index == 2 else "",
    )
    rows = [
        Row(step, START_NS + step * SECOND_NS // 20, _sweep_values(index, step, dice))
        for step in range(ROWS)
    ]
    for start in range(0, ROWS, 500):
        stream.rows(*rows[start : start + 500])
    if index == 5:
        stream.lose(7)
    if index != 7:  # that one never says goodbye
        stream.close(*(("failed", 1) if index == 6 else ("finished", 0)))
    run.close()


def _sweep_values(index: int, step: int, dice: random.Random) -> dict[str, object]:
    loss = math.exp(-step / (300 * (1 + index // 3))) + 0.05 * dice.random()
    if index == 1 and step in (NAN_STEP, NAN_STEP + 1, 1500):
        loss = math.nan
    if index == 4 and step == OUTLIER_STEP:
        loss = 1e6
    values: dict[str, object] = {
        "train/loss": loss,
        "train/accuracy": 1 - math.exp(-step / 500) * (0.5 + 0.1 * dice.random()),
        "lr": 1e-3 * (1 - step / ROWS),
        "epoch": step / 100,
    }
    if step % 100 == 0:
        values["eval/loss"] = math.exp(-step / 400) + 0.1 * index / 12
    return values


def add_media(path: Path) -> None:
    """A run with images, histograms, texts, tables, alerts, notes and artifacts."""
    with unsynced():
        run = HomeBuilder(path).run("media1", age_s=-60)
        stream = run.stream(name="samples", project="vision", config={"lr": 0.1})
        for step in range(0, 40, 10):
            stream.log({"loss": 1 / (step + 1)}, step)
            _put_media(stream, step)
        at = START_NS + SECOND_NS
        stream.put(
            Alert(time_ns=at, title="Loss is high", text="0.9 after 10 steps", level="warning")
        )
        stream.put(Note(time_ns=at, text="changed the schedule"))
        stream.put(
            Artifact(
                time_ns=at,
                step=30,
                name="weights",
                type="model",
                path="/models/a.pt",
                size_bytes=4096,
            )
        )
        stream.close()
        run.close()


def _put_media(stream: StreamBuilder, step: int) -> None:
    at = START_NS + step * SECOND_NS
    shade = bytes((x * 4 + step * 3) % 256 for x in range(32 * 32 * 3))
    pixels = Array("u1", [32, 32, 3], data=shade)
    stream.put(Image(time_ns=at, name="sample", step=step, pixels=pixels, caption=f"at {step}"))
    heights = struct.pack("<8d", *(1 + (place * (step + 1)) % 7 for place in range(8)))
    counts = Array("f8", [8], data=heights)
    edges = Array("f8", [9], data=struct.pack("<9d", *(edge - 4 for edge in range(9))))
    stream.put(Histogram(time_ns=at, name="weights", step=step, counts=counts, edges=edges))
    stream.put(TextItem(time_ns=at, name="prompt", step=step, text=f"Once upon a time, {step}"))
    rows = json.dumps([["cat", 0.9], ["dog", 0.1 + step]])
    stream.put(
        Table(time_ns=at, name="predictions", step=step, columns=["label", "share"], rows=rows)
    )


def hostile_home(path: Path) -> None:
    """Every field of a run that holds a text, with every attack."""
    home = HomeBuilder(path)
    with unsynced():
        for index, attack in enumerate(ATTACKS):
            _hostile_run(home, f"hostile{index}", attack)


def _hostile_run(home: HomeBuilder, run_id: str, attack: str) -> None:
    plain = attack.replace("\u0000", "").replace("\u001b", "")
    at = START_NS
    run = home.run(run_id)
    stream = run.stream(
        name=plain, project=plain, group=plain, job_type=plain, tags=(plain,), notes=plain, host=plain,
        config={attack: attack, "nested": {attack: [attack]}},
    )  # fmt: skip
    for step in range(3):
        stream.log({plain: float(step), f"a/{plain}": 1.0, "text": attack}, step)
    stream.put(TextItem(time_ns=at, name=plain, step=1, text=attack))
    stream.put(
        Table(time_ns=at, name=plain, step=1, columns=[plain], rows=json.dumps([[attack], [None]]))
    )
    image = Array("u1", [2, 2], data=b"\0\1\2\3")
    stream.put(Image(time_ns=at, name=plain, step=1, pixels=image, caption=attack))
    stream.put(Alert(time_ns=at, title=plain, text=attack))
    stream.put(Note(time_ns=at, text=attack))
    stream.put(Artifact(time_ns=at, step=1, name=plain, type=plain, path=attack, size_bytes=1))
    stream.lose(2, reason=plain)
    stream.close()
    run.close()


def many_runs(path: Path, count: int) -> None:
    """Short runs."""
    home = HomeBuilder(path)
    with unsynced():
        for index in range(count):
            home.finished_run(
                f"r{index:05d}", rows=1, name=f"run {index}", config={"seed": index % 5}
            )
        catalogue(home)


def catalogue(home: HomeBuilder) -> None:
    """What the catalogue's sink writes: without it each run's journal is read at the first look."""
    connection, _ = open_writing(home.home)
    with contextlib.closing(connection):
        connection.execute("PRAGMA synchronous=OFF")
        reader = open_home(home.path)
        for run_id in reader.run_ids():
            save(connection, reader.view(run_id).facts, Saved())


def many_metrics(path: Path, count: int) -> None:
    """One run of so many metrics, in thirty groups; the newest of its home."""
    with unsynced():
        run = HomeBuilder(path).run("wide1", age_s=-100_000)
        stream = run.stream(name="wide", project="demo")
        for step in range(4):
            stream.log({f"group{at % 30}/metric{at}": at + step / 4 for at in range(count)}, step)
        stream.close()
        run.close()


class GrowingRun:
    """A run that is being written while a page looks at it."""

    def __init__(self, path: Path, run_id: str) -> None:
        self._run = HomeBuilder(path).run(run_id, age_s=-200)
        self._stream = self._run.stream(name="growing", project="vision")
        self.step = 0

    def grow(self, rows: int) -> None:
        """Log more rows: `live/value` is the step."""
        steps = range(self.step, self.step + rows)
        with unsynced():
            self._stream.rows(
                *(Row(at, START_NS + at * SECOND_NS, {"live/value": float(at)}) for at in steps)
            )
        self.step += rows

    def say(self, text: str) -> None:
        """Log a text called `said` at the step that it has reached."""
        with unsynced():
            at = START_NS + self.step * SECOND_NS
            self._stream.put(TextItem(time_ns=at, name="said", step=self.step, text=text))

    def end(self) -> None:
        """Finish it."""
        with unsynced():
            self._stream.close()
        self._run.close()
