"""A type checker takes what users write, and refuses what they should not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of the user's code beside this file, as `LINE: message`."""
    cache = tmp_path_factory.mktemp("mypy")
    config = cache / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {_ROOT}:{_ROOT / 'proto'}\n"
                      "explicit_package_bases = true\n"
                      "[mypy-msgpack.*]\nignore_missing_imports = true\n")  # fmt: skip
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-error-summary"]
    code = _HERE / "user_code.py"
    done = subprocess.run(
        [*command, "--cache-dir", str(cache), str(code)],
        capture_output=True, text=True, check=False, cwd=_ROOT,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "user_code.py" in line]


@pytest.mark.timeout(240)
def test_only_the_lines_marked_wrong_are_refused(found: list[str]):
    lines = (_HERE / "user_code.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    refused = {int(line.split(":")[1]) for line in found if ": error:" in line}
    assert refused == wrong, "\n".join(found)


@pytest.mark.timeout(240)
def test_types_are_known_not_any(found: list[str]):
    notes = [
        line.split('Revealed type is "')[1].rstrip('"') for line in found if "Revealed" in line
    ]
    assert [note.replace("builtins.", "") for note in notes] == [
        "exptrack_agent.tracker.config.ExperimentConfig",
        "dict[str, Any]",
        "exptrack_agent.tracker.metrics.ModelCheckpoint | None",
        "pathlib.Path",
        "int",
    ], notes
