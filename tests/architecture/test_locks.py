"""What CI installs is what stands in `locks/`: every file by its hash, and all that the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+)( ; [^\\]+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def entries(lock: Path) -> list[tuple[str, str]]:
    """Names and versions of a lock."""
    lines = lock.read_text().splitlines()
    return [(found[1], found[2]) for line in lines if (found := _ENTRY.match(line))]


def asked_for(extra: str, project: dict) -> list[Requirement]:
    """The requirements of an extra, and of those that it names."""
    own = [Requirement(text) for text in project["optional-dependencies"][extra]]
    named = [name for need in own if need.name == "exptrack" for name in need.extras]
    return [
        *(need for need in own if need.name != "exptrack"),
        *(need for name in named for need in asked_for(name, project)),
    ]


def test_there_are_four_locks():
    assert [lock.name for lock in LOCKS] == ["cpu.txt", "cuda.txt", "dev.txt", "tools.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_file_has_a_hash_and_no_address_is_named(lock: Path):
    lines = lock.read_text().splitlines()
    odd = [line for line in lines if not (_ENTRY.match(line) or _HASH.match(line))]
    assert odd == []
    bare = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if _ENTRY.match(line) and not _HASH.match(after)
    ]
    assert bare == []


def test_what_the_project_asks_for_is_locked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    needs = [
        *(Requirement(text) for text in project["dependencies"]),
        *(Requirement(text) for text in settings["build-system"]["requires"]),
        *asked_for("dev", project),
    ]
    locked: dict[str, list[str]] = {}
    for name, version in [*entries(ROOT / "locks/dev.txt"), *entries(ROOT / "locks/cuda.txt")]:
        locked.setdefault(name, []).append(version)
    lacking = [
        str(need)
        for need in needs
        if not any(map(need.specifier.contains, locked.get(canonicalize_name(need.name), [])))
    ]
    assert lacking == [], "`make lock` adds what pyproject.toml asks for"


def test_what_ci_installs_is_taken_by_hash_only():
    made = (ROOT / "Makefile").read_text()
    installs = [line for line in made.splitlines() if "pip install" in line]
    assert len(installs) == 3
    for line in installs:
        assert "--no-deps" in line
        assert "--require-hashes" in line or "--no-build-isolation --editable ." in line


def test_torch_without_cuda_is_tried_first_and_nothing_of_cuda_is_installed_beside_it():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    assert [name for name, _ in pinned] == ["torch"]
    version = pinned[0][1]
    assert entries(ROOT / "locks" / "cpu.txt") == [("torch", f"{version}+cpu")]
    assert ("torch", version) in entries(ROOT / "locks" / "cuda.txt")
    apart = ("nvidia-cu", "triton", "torch=")
    locked = [f"{name}={version}" for name, version in entries(ROOT / "locks" / "dev.txt")]
    assert [name for name in locked if name.startswith(apart)] == []
