"""`python docs/pictures/make_plots.py FOLDER`: the pictures of docs/plots.md, of runs that are made up."""  # noqa: INP001

from __future__ import annotations

import io
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "proto")]

from exptrack_daemon.plots import render  # noqa: E402
from exptrack_daemon.store import open_home  # noqa: E402
from exptrack_proto.records import Array, Histogram, Row  # noqa: E402
from tests.support.homes import START_NS, HomeBuilder, StreamBuilder  # noqa: E402

STEPS, STEP_NS = 3_000, 120_000_000
SWEEP = [(10.0 ** (-4 + at / 12), ("adam", "sgd", "lion")[at % 3], at) for at in range(30)]
SEEDS = [(lr, seed) for lr in (0.001, 0.003, 0.01) for seed in range(5)]
_COLOURS, _MOST_BYTES = 128, 150_000


def learning(random: np.random.Generator, lr: float, steps: int) -> Iterator[dict[str, Any]]:
    """Loss and accuracy that fall and rise as they do, best near lr = 0.003."""
    pace, floor = 4 * (lr / 0.003) ** 0.4, 0.18 + 0.15 * abs(math.log10(lr / 0.003)) ** 1.5
    for step in range(steps):
        done = step / steps
        loss = floor + 2.1 * math.exp(-pace * done) + 0.1 * random.standard_normal() * (1.1 - done)
        row = {"train/loss": abs(loss), "train/accuracy": min(0.99, max(0.1, 1 - abs(loss) / 2.6))}
        if step % max(1, steps // 40) == 0:
            row |= {
                "val/loss": abs(loss) * 1.05 + 0.06,
                "val/accuracy": max(0.1, 0.97 - loss / 2.5),
            }
        yield row


def watched(random: np.random.Generator, step: int) -> dict[str, Any]:
    """What `watch` and `StepTimer` add."""
    done = step / STEPS
    row: dict[str, Any] = {
        "gradients/norm": 1.4 * math.exp(-done) + 0.25 * abs(random.standard_normal())
    }
    for layer in range(8):
        for kind, size in (("weight", 1.0), ("bias", 0.15)):
            norm = (
                size * math.exp(-0.35 * layer - 1.2 * done) * (1 + 0.25 * random.standard_normal())
            )
            row[f"gradients/norm/layers.{layer}.{kind}"] = abs(norm) * (
                6 if 1_180 < step < 1_230 else 1
            )
    phases = {
        "data": 0.006 + 0.03 * (step % 400 < 30),
        "forward": 0.031,
        "backward": 0.058,
        "optimizer": 0.012,
    }
    row |= {
        f"performance/step/{name}_s": s * random.uniform(0.9, 1.1) for name, s in phases.items()
    }
    broken = 1_200 < step < 1_215
    return row | {"numerical_stability/nan_count": 12 * broken, "numerical_stability/inf_count": 0}


def histogram(random: np.random.Generator, step: int) -> Histogram:
    """Weights that narrow, while some of them leave."""
    done = step / STEPS
    values = random.standard_normal(4_000) * (0.45 - 0.3 * done) + 0.35 * done
    counts, edges = np.histogram(
        np.append(values, random.standard_normal(900) * 0.1 - 0.8 * done), 60
    )
    arrays = [
        Array(kind, [len(held)], 0, held.astype(f"<{kind}").tobytes())
        for kind, held in (("i8", counts), ("f8", edges))
    ]
    return Histogram(
        name="weights/layers.3.weight",
        step=step,
        time_ns=START_NS,
        counts=arrays[0],
        edges=arrays[1],
    )


def sampled(random: np.random.Generator, at: int) -> dict[str, Any]:
    """What the sampler would have seen, with a checkpoint now and then."""
    row: dict[str, Any] = {
        "system/cpu_percent": 35 + 8 * random.random(),
        "system/memory_used_bytes": 4.2e10 + 4e7 * at,
        "system/process/rank_0/cpu_percent": 310 + 40 * random.random(),
        "system/process/rank_0/memory_rss_bytes": 1.1e10 + 3e7 * at,
        "system/disk_read_bytes_per_s": 9e7 * random.random(),
        "system/disk_write_bytes_per_s": 4e6 * random.random() + 2e8 * (at % 45 == 20),
    }
    for gpu in range(2):
        busy = 20 if at % 45 == 20 else 88 + 8 * random.random() - 12 * gpu
        row |= {
            f"system/gpu/{gpu}/utilization_percent": busy,
            f"system/gpu/{gpu}/memory_used_bytes": 3.1e10 + 2e9 * gpu,
            f"system/gpu/{gpu}/power_watts": 3.4 * busy + 10 * random.random(),
            f"system/gpu/{gpu}/temperature_celsius": 58 + 8 * (1 - math.exp(-at / 20)) + 3 * gpu,
        }
    return row


def put_rows(stream: StreamBuilder, rows: list[Row]) -> None:
    """In frames of some size."""
    for first in range(0, len(rows), 500):
        stream.rows(*rows[first : first + 500])


def build(home: Path) -> None:
    """All runs, as the intake would have written them."""
    builder, random = HomeBuilder(home), np.random.default_rng(7)
    run = builder.run("main")
    stream = run.stream(project="cifar10", name="resnet", config={"lr": 0.003})
    rows = [row | watched(random, step) for step, row in enumerate(learning(random, 0.003, STEPS))]
    for step in range(1_200, 1_204):
        rows[step]["train/loss"] = math.nan
    put_rows(stream, [Row(step, START_NS + step * STEP_NS, row) for step, row in enumerate(rows)])
    for step in range(0, STEPS, 75):
        stream.put(histogram(random, step))
    every = 2_000_000_000
    samples = [Row(at, START_NS + at * every, sampled(random, at)) for at in range(180)]
    put_rows(run.stream(role="sampler"), samples)
    stream.close()
    run.close()
    for lr, seed in SEEDS:
        add_small(builder, f"mlp-lr{lr}-seed{seed}", {"lr": lr, "seed": seed}, lr, seed)
    for lr, optimizer, at in SWEEP:
        config = {
            "lr": lr,
            "optimizer": optimizer,
            "layers": 2 + at % 7,
            "dropout": [0.1, 0.2, 0.5][at % 5 % 3],
        }
        if at % 6 == 0:
            del config["dropout"]
        add_small(builder, f"sweep-{at}", config, lr, 100 + at)


def add_small(
    builder: HomeBuilder, name: str, config: dict[str, Any], lr: float, seed: int
) -> None:
    """A short run."""
    run = builder.run(name)
    stream = run.stream(project="cifar10", name=name, config=config)
    rows = learning(np.random.default_rng(seed), lr, 400)
    put_rows(stream, [Row(step, START_NS + step * STEP_NS, row) for step, row in enumerate(rows)])
    stream.close()
    run.close()


def save(png: bytes, path: Path) -> None:
    """With fewer colours than a photograph has, and so a third of the bytes."""
    with Image.open(io.BytesIO(png)) as picture:
        smaller = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        smaller.save(path, optimize=True)
    if path.stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, more than {_MOST_BYTES:,}")


def main(folder: Path) -> None:
    """Draw all pictures into the folder."""
    seeds = [f"mlp-lr{lr}-seed{seed}" for lr, seed in SEEDS]
    pictures: list[tuple[str, list[str], dict[str, Any]]] = [
        ("training", ["main"], {}),
        ("metrics", seeds[::5], {"metrics": ["*loss", "*accuracy"], "x": "relative"}),
        ("seeds", seeds, {"metrics": ["val/loss", "val/accuracy"], "size": (10.4, 4.6)}),
        ("system", ["main"], {}),
        ("gradients", ["main"], {}),
        ("histograms", ["main"], {"size": (7.0, 5.2)}),
        ("parallel", [f"sweep-{at}" for _, _, at in SWEEP], {}),
        ("steps", ["main"], {}),
    ]
    with tempfile.TemporaryDirectory() as place:
        build(Path(place))
        reader = open_home(place)
        for kind, runs, options in pictures:
            theme = "dark" if kind in ("system", "histograms") else "light"
            save(
                render(reader, kind, runs, theme=theme, dpi=80, **options),
                folder / f"plot-{kind}.png",
            )
        dark = render(reader, "training", ["main"], theme="dark", dpi=80)
        save(dark, folder / "plot-training-dark.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
