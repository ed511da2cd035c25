"""Bad input through the real daemon: a clear message each, no other value is lost, training goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exported, exptrack, steps_of

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

EVERYTHING = r"""
import decimal, collections, types, threading
import numpy as np

class Raises:
    def __float__(self): raise RuntimeError("own code")
    __repr__ = __index__ = __float__

loop = {"x": 1.0}
loop["loop"] = loop
rows = [
    ("not a mapping", None, None),
    ("a number", 5, None),
    ("keys", {"ok": 1.0, 3: 1.0, None: 2.0}, None),
    ("nan", {"ok": 1.0, "nan": float("nan"), "inf": float("-inf")}, None),
    ("names", {"ok": 1.0, "": 1.0, "../../etc/passwd": 2.0, "\x00\n\x1b[0m": 3.0}, None),
    ("surrogate", {"ok": 1.0, "\udc80": 1.0}, None),
    ("long name", {"ok": 1.0, "n" * 10_000: 1.0}, None),
    ("array", {"ok": 1.0, "array": np.ones((1000, 1000))}, None),
    ("list", {"ok": 1.0, "list": [1.0, 2.0]}, None),
    ("bytes", {"ok": 1.0, "bytes": b"x"}, None),
    ("object", {"ok": 1.0, "object": object()}, None),
    ("complex", {"ok": 1.0, "complex": 1j}, None),
    ("deep", {"ok": 1.0, "a": {"b": {"c": {"d": {"e": 1.0}}}}}, None),
    ("inner key", {"ok": 1.0, "inner": {5: 1.0, "good": 2.0}}, None),
    ("loop", {"ok": 1.0, "loop": loop}, None),
    ("raises", {"ok": 1.0, "raises": Raises()}, None),
    ("big", {"ok": 1.0, "big": 2**100, "huge": -10**400, "u64": 2**64 - 1}, None),
    ("ordered", collections.OrderedDict(ok=1.0), None),
    ("proxy", types.MappingProxyType({"ok": 1.0}), None),
    ("user dict", collections.UserDict(ok=1.0), None),
    ("numpy", {"ok": np.float32(1), "i": np.int64(2), "zero": np.array(3.0)}, None),
    ("decimal", {"ok": decimal.Decimal(1)}, None),
    ("text", {"ok": 1.0, "text": "x" * 2_000_000}, None),
    ("short text", {"ok": 1.0, "text": "fine"}, None),
    ("step text", {"ok": 1.0}, "7"),
    ("step nan", {"ok": 1.0}, float("nan")),
    ("step huge", {"ok": 1.0}, 2**70),
    ("step back", {"ok": 1.0}, 3),
    ("step float", {"ok": 1.0}, 4.0),
    ("step numpy", {"ok": 1.0}, np.int32(5)),
]
run = xt.init("bad", name="input", run_id="input", autostart=False)
for _ in range(2):
    for what, data, step in rows:
        run.log(data, step=step)
wide = {f"wide/{number}": float(number) for number in range(50_000)}
run.log(wide, step=77)
for number in range(1_000):
    run.log({f"distinct/{number}": 1.0}, step=number)
run.log({"last": 1.0}, step=78)
run.finish(timeout_s=30)
print(json.dumps(run.stats()))
"""


def test_everything_bad_at_once_costs_only_itself(daemon: Daemon, tmp_path: Path) -> None:
    process = trainer("import json\n" + EVERYTHING, daemon.home)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    stats = json.loads(out)

    said = [line for line in errors.splitlines() if line]
    assert all(line.startswith("exptrack: ") for line in said), errors
    assert len(said) == len(set(said))
    assert 10 < len(said) < 25
    assert (stats["dropped"], stats["pending"]) == (0, 0)
    # of 30 rows two are no mapping; each of the others has its "ok"
    assert len(steps_of(daemon.home, "input", "ok")) == 2 * 28
    assert steps_of(daemon.home, "input", "last") == [78]
    found = exported(daemon.home, "input", tmp_path)
    names = {row["name"] for row in found}
    assert {"", "../../etc/passwd", "\x00\n\x1b[0m", "?", "nan", "inf", "u64"} <= names
    assert {"inner/good", "loop/x", "loop/loop/x", "i", "zero", "big", "huge"} <= names
    assert not names & {"array", "list", "bytes", "object", "complex", "raises"}
    wide = {row["name"]: float(row["value"]) for row in found if row["name"].startswith("wide/")}
    assert wide == {f"wide/{number}": float(number) for number in range(50_000)}
    assert sum(row["name"].startswith("distinct/") for row in found) == 1_000
    point = next(
        p
        for p in open_home(daemon.home).points(open_home(daemon.home).find("input"))
        if p.name == "u64"
    )
    assert point.value == 2**64 - 1
    verified = exptrack("verify", "input", "--home", str(daemon.home))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (
        daemon.status()["intake"]["rejected"] == 0
    )  # the agent lets nothing out that the intake refuses
    assert not (Path("/etc") / "passwd.seg").exists()


TORCH = """
import torch
run = xt.init("bad", run_id="torch", autostart=False)
for step in range(100):
    run.log({
        "loss": torch.tensor(step / 2, requires_grad=True),
        "bf16": torch.tensor(1.5, dtype=torch.bfloat16),
        "bool": torch.tensor(True),
        "weights": torch.ones(10, 10),
        "meta": torch.ones((), device="meta"),
    }, step=torch.tensor(step))
run.finish(timeout_s=30)
"""


def test_torch_scalars_are_kept_and_tensors_said_once(daemon: Daemon) -> None:
    pytest.importorskip("torch")
    process = trainer(TORCH, daemon.home)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for name in ("loss", "bf16", "bool"):
        assert steps_of(daemon.home, "torch", name) == list(range(100))
    assert steps_of(daemon.home, "torch", "weights") == []
    assert errors.count("exptrack: ") == 2


CONFIGS = r"""
import pathlib, numpy as np
loop = {}
loop["a"] = loop["b"] = loop
class Bad:
    def __repr__(self): raise RuntimeError
configs = {
    "plain": {"lr": 0.1, "path": pathlib.Path("/a"), "np": np.float32(0.5), 5: 6},
    "loop": {"lr": 0.1, "loop": loop},
    "bad": {"lr": 0.1, "bad": Bad(), "array": np.ones(10**6), "nan": float("nan"), "seed": 2**100},
    "huge": {"lr": 0.1, "long": "\u6f22" * 3_000_000, **{f"k{n}": "x" * 500 for n in range(5_000)}},
}
for name, config in configs.items():
    with xt.init("bad", name="same", run_id=name, config=config, autostart=False,
                 notes="\u6f22" * 400_000, tags=["t" * 5_000] * 500) as run:
        run.log({"a": 1.0}, step=0)
        run.config["later"] = loop
        run.summary["x"] = Bad()
        run.log({"a": 1.0}, step=1)
"""


def test_configs_of_every_kind_arrive(daemon: Daemon) -> None:
    process = trainer(CONFIGS, daemon.home)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    home = open_home(daemon.home)
    for name in ("plain", "loop", "bad", "huge"):
        assert steps_of(daemon.home, name, "a") == [0, 1]
        wait_until(lambda n=name: "later" in home.find(n).facts.run.config, 20)
        assert home.find(name).facts.run.config["lr"] == 0.1
    assert home.find("plain").facts.run.config["path"] == "/a"
    assert home.find("bad").facts.run.config["seed"] == str(2**100)


def test_strict_raises_at_once_where_the_mistake_is(daemon: Daemon) -> None:
    script = """
run = xt.init("bad", run_id="strict", autostart=False, strict=True)
raised = 0
for data, step in [(None, 0), ({1: 1}, 0), ({"a": [1]}, 0), ({"a": 1}, "x"), ({"a": object()}, 0)]:
    try:
        run.log(data, step=step)
    except xt.Misuse as error:
        raised += 1
    run.log({"good": float("nan")}, step=raised)
run.finish(timeout_s=30)
print(raised)
"""
    assert finished(trainer(script, daemon.home)).strip() == "5"
    assert steps_of(daemon.home, "strict", "good") == [1, 2, 3, 4, 5]
    assert steps_of(daemon.home, "strict", "a") == []


def test_a_million_distinct_names_take_bounded_memory(home: Path) -> None:
    script = """
import resource
run = xt.init("bad", mode="offline")
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(100_000):
    run.log({f"metric/number/{number}": 1.0})
before = peak()
for number in range(100_000, 1_000_000):
    run.log({f"metric/number/{number}": 1.0})
print(peak() - before, run.stats()["dropped"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = trainer(script + "\n", home)
    out, errors = process.communicate(timeout=60)
    assert out, errors
    grown_kib, dropped = out.split()
    assert int(dropped) == 0
    assert int(grown_kib) < 100 * 1024
