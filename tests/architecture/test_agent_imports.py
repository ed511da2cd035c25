"""What importing the agent costs a training script, and what it needs to work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import exptrack_agent
from exptrack_agent.settings import ring_root

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "ExptrackAgentError",
    "Figure",
    "Histogram",
    "Image",
    "Misuse",
    "Run",
    "RunNotFound",
    "Table",
    "Text",
    "__version__",
    "init",
}
"""Names that scripts rely on: more may come, none may go."""

ALLOWED = {"exptrack_agent", "exptrack_proto", "msgpack", "zmq"}
"""Third-party packages that a run may load."""

HEAVY = {
    *(
        "numpy",
        "torch",
        "zmq",
        "msgspec",
        "psutil",
        "matplotlib",
        "pandas",
        "PIL",
        "exptrack_daemon",
    ),
    *(
        "logging",
        "asyncio",
        "concurrent",
        "multiprocessing",
        "socket",
        "ssl",
        "hashlib",
        "_hashlib",
    ),
    *("subprocess", "sqlite3", "http", "urllib", "email", "inspect", "tempfile", "uuid", "secrets"),
    *("importlib.metadata", "decimal", "unittest", "pickle"),
}
"""What importing may not load: it would be paid for by every process of a job, forked or not."""


def run_python(code: str, *options: str, home: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={
            "EXPTRACK_HOME": str(home),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
            "PATH": "/usr/bin:/bin",
        },
    )
    if home is not None:
        shutil.rmtree(ring_root(home), ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names_are_the_listed_ones() -> None:
    assert set(exptrack_agent.__all__) >= PUBLIC
    assert len(set(exptrack_agent.__all__)) == len(exptrack_agent.__all__)
    missing = [name for name in exptrack_agent.__all__ if not hasattr(exptrack_agent, name)]
    assert missing == []


def test_importing_loads_nothing_heavy() -> None:
    code = """
import sys
before = set(sys.modules)
import exptrack_agent
print("\\n".join(sorted(set(sys.modules) - before)))
"""
    loaded = set(run_python(code).split())
    assert not {
        name for name in loaded if name in HEAVY or name.split(".")[0] in HEAVY - {"importlib"}
    }
    assert third_party(loaded) <= ALLOWED


def third_party(loaded: set[str]) -> set[str]:
    """Names of packages that are neither Python's own nor what installs and compiles leave behind."""
    tops = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    return {top for top in tops if not top.startswith(("_", "cython", "editables"))} - {
        "sitecustomize",
        "usercustomize",
    }


def test_importing_starts_no_thread_opens_no_file_and_writes_nothing(tmp_path: Path) -> None:
    code = """
import os, sys, threading
opened = []
sys.addaudithook(lambda event, args: opened.append((event, str(args[0]))) if event in
    ("open", "socket.__new__", "subprocess.Popen", "os.mkdir", "os.fork", "os.rename") else None)
descriptors = len(os.listdir("/proc/self/fd"))
import exptrack_agent
assert threading.active_count() == 1, threading.enumerate()
assert len(os.listdir("/proc/self/fd")) == descriptors
print([event for event in opened if not event[1].endswith((".py", ".pyc", ".so", ".pth"))])
"""
    assert run_python(code, "-B", home=tmp_path / "home").strip() == "[]"
    assert list(tmp_path.iterdir()) == []


BLOCKED = """
import importlib.abc, json, sys, sysconfig

class OnlyTwo(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in %r:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, OnlyTwo())
"""


@pytest.mark.timeout(60)
def test_a_whole_run_works_with_only_pyzmq_and_msgpack(tmp_path: Path) -> None:
    code = (
        BLOCKED % (ALLOWED | {"_zmq"},)
        + """
import exptrack_agent as xt
with xt.init("alone", config={"lr": 0.1}, tags=["a"]) as run:
    for step in range(100):
        run.log({"loss": 1.0, "nested": {"x": 2}, "bad": [1]}, step=step)
    run.log({"t": xt.Text("a"), "i": xt.Image([[0, 255]]), "h": xt.Histogram([1, 2]), "tab": xt.Table([[1]])})
    run.summary["best"] = 1
    run.alert("done")
    run.flush(timeout_s=0.1)
    assert run.summary["loss"] == 1.0
print(json.dumps([run.stats()["rows"], sorted(sys.modules)]))
"""
    )
    rows, loaded = json.loads(run_python(code, home=tmp_path / "home"))
    assert rows == 100
    assert third_party(set(loaded)) <= ALLOWED


def test_a_run_in_this_mode_never_loads_the_daemons_half_of_the_format(tmp_path: Path) -> None:
    code = """
import sys
import exptrack_agent as xt
run = xt.init(mode="offline")
run.log({"a": 1.0})
run.finish()
print(sorted(name for name in sys.modules if name.startswith("exptrack_proto.")))
"""
    loaded = run_python(code, home=tmp_path / "home")
    assert "records" not in loaded
    assert "codec" not in loaded


def test_every_module_of_the_agents_core_has_its_tests() -> None:
    modules = {path.stem for path in (ROOT / "exptrack_agent").glob("*.py")}
    tested = {
        path.stem.removeprefix("test_") for path in (ROOT / "tests/unit/agent").glob("test_*.py")
    }
    assert modules - tested - {"__init__", "errors", "version"} - OTHERS == set()


OTHERS = {
    path.stem
    for path in (ROOT / "exptrack_agent").glob("*.py")
    if any((ROOT / "tests/unit").glob(f"*/test_{path.stem}.py"))
}
