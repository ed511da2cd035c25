"""How the daemon is put together: who may import whom, what is tested, documented, forbidden."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
from pathlib import Path

import pytest

from exptrack_daemon.config import DaemonConfig, config_from, load_config
from exptrack_daemon.home import Home

ROOT = Path(__file__).parents[2]
DAEMON = ROOT / "exptrack_daemon"
PROTO = ROOT / "proto" / "exptrack_proto"

LAYERS = [
    {"__main__"},
    {"cli", "demo"},
    {"supervisor"},
    {"intake", "delivery", "sampler"},
    {"config"},
    {"sinks"},
    {"store"},
    {"journal"},
    {"live", "lifeline", "stopping", "locks", "sockets", "keys", "telemetry"},
    {"home", "files"},
    {"clock", "errors"},
]
"""From top to bottom; a part imports from lower layers only. Readers (plots …) are as high as `cli`."""

SIBLINGS = {
    ("cli", "demo"),  # `exptrack demo` shows it
}

OF_THE_AGENTS_USERS = {"web/studio/experiments.py", "web/studio/simulation.py"}
"""What knows the agent as its user's programs do (decision 18); and the demo."""

UNTESTED = {
    "__init__": "says what the package is",
    "errors": "classes without behaviour; every test of a failure uses them",
    "limits": "numbers",
    "position": "a named tuple, used by every test of the journal",
    "entries": "frozen values, used by every test of a sink",
    "base": "the sink contract; tests/contract/test_sinks.py",
    "memory": "a sink; tests/contract/test_sinks.py",
    "registry": "tests/contract/test_sinks.py",
    "foreground": "runs as a process; tests/acceptance/test_daemon.py",
    "client": "talks to a process; tests/acceptance/test_daemon.py and tests/unit/cli/test_daemon.py",
    "tail": "tests/unit/store/test_reader.py",
    "graphs": "tests/unit/sinks/test_tensorboard_projection.py",
    "opened": "tests/unit/sinks/test_wandb_witness.py and tests/integration",
    "__main__": "runs as a process; tests/acceptance/test_daemon.py and tests/unit/cli/test_main.py",
}
"""Modules without a test module of their own name, and why."""


TESTED = [
    "proto/exptrack_proto",
    "exptrack_daemon",
    "exptrack_daemon/journal",
    "exptrack_daemon/store",
    "exptrack_daemon/sinks",
    "exptrack_daemon/sinks/tensorboard",
    "exptrack_daemon/sinks/wandb",
    "exptrack_daemon/sinks/mlflow",
    "exptrack_daemon/sampler",
    "exptrack_daemon/intake",
    "exptrack_daemon/delivery",
    "exptrack_daemon/supervisor",
    "exptrack_daemon/web",
    "exptrack_daemon/web/api",
]
"""Folders of which every module is held to it. `cli`, `demo` and `plots` are tested by what they show."""


def modules(folder):
    return sorted(path for path in folder.rglob("*.py"))


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"), str(path))


def imports_of(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def part_of(module):
    """The daemon's part that a dotted name belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "exptrack_daemon" else None


def test_layers_point_down_and_siblings_do_not_know_each_other():
    height = {part: level for level, parts in enumerate(LAYERS) for part in parts}
    readers = LAYERS.index({"cli", "demo"})
    wrong = []
    for path in modules(DAEMON):
        here = path.relative_to(DAEMON).with_suffix("").parts[0]
        for module in imports_of(path):
            there = part_of(module)
            if here == "__init__" or there in (None, here) or (here, there) in SIBLINGS:
                continue
            above, below = height.get(here, readers), height.get(there, readers)
            if below < above or (below == above and below != readers):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_the_wire_format_knows_nobody_and_the_daemon_never_the_agent():
    for path in modules(PROTO):
        assert not [
            name for name in imports_of(path) if name.startswith(("exptrack_d", "exptrack_a"))
        ]
    for path in modules(DAEMON):
        is_users = (
            "demo" in path.parts or path.relative_to(DAEMON).as_posix() in OF_THE_AGENTS_USERS
        )
        if not is_users:
            assert not [name for name in imports_of(path) if name.startswith("exptrack_agent")], (
                path
            )


@pytest.mark.parametrize("folder", TESTED)
def test_every_module_has_a_test_module(folder):
    paths = list((ROOT / "tests").rglob("test_*.py"))
    names = "\n".join(path.name for path in paths)
    text = "\n".join(path.read_text("utf-8") for path in paths)
    missing = []
    for path in sorted((ROOT / folder).glob("*.py")):
        dotted = ".".join(path.with_suffix("").parts[path.parts.index(_package(path)) :])
        parent = dotted.rpartition(".")[0]
        is_named = re.search(rf"test_(\w+_)?{re.escape(path.stem)}(_\w+)?\.py", names)
        is_used = dotted in text or re.search(rf"from {parent} import .*\b{path.stem}\b", text)
        if path.stem not in UNTESTED and not (is_named or is_used):
            missing.append(str(path.relative_to(ROOT)))
    assert missing == []


def _package(path):
    return "exptrack_daemon" if "exptrack_daemon" in path.parts else "exptrack_proto"


def settings():
    for field in dataclasses.fields(DaemonConfig):
        if field.name == "home":
            continue
        kind = field.default_factory if callable(field.default_factory) else None
        if dataclasses.is_dataclass(kind):
            for inner in dataclasses.fields(kind):
                yield f"{field.name}.{inner.name}", inner.default
        elif field.name != "sinks":
            yield field.name, field.default


def test_every_setting_is_documented_with_its_default():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for name, default in settings():
        part, _, setting = name.rpartition(".")
        section = page.partition(f"## `[{part}]`")[2] if part else page
        row = re.search(rf"^\| `{setting}` \|.*$", section, re.MULTILINE)
        assert row, f"docs/configuration.md does not tell of {name}"
        shown = list(default) if isinstance(default, tuple) else default
        assert (
            f"`{str(shown).lower() if isinstance(shown, bool) else shown}`".replace("'", '"')
            in row[0]
        )


def test_the_examples_of_the_page_are_valid_and_the_first_one_is_the_defaults(home):
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        (home / "daemon.toml").write_text(example)
        load_config(home)
    (home / "daemon.toml").write_text(examples[0].partition("[sinks.wandb]")[0])
    assert load_config(home) == config_from(Home(home), {})


FORBIDDEN = {
    "time.time": {"clock.py"},
    "time.sleep": set(),
    "eval": set(),
    "exec": set(),
    "os.system": set(),
    "pickle.loads": set(),
    "pickle.load": set(),
    "marshal.loads": set(),
    "yaml.load": set(),
}
"""Calls that daemon code never makes, but in these files."""


@pytest.mark.parametrize("call", FORBIDDEN)
def test_daemon_code_never_calls(call):
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in [*modules(DAEMON), *modules(PROTO)]
        if path.name not in FORBIDDEN[call]
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == call
    ]
    assert found == []


def test_no_module_unpickles_and_no_process_goes_through_a_shell():
    for path in [*modules(DAEMON), *modules(PROTO)]:
        assert not {"pickle", "marshal", "shelve"} & set(imports_of(path)), path
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                shell = [word.value for word in node.keywords if word.arg == "shell"]
                assert not any(isinstance(v, ast.Constant) and v.value for v in shell), path
