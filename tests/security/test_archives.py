"""No archive is ever unpacked, so none can write where it likes or grow without end."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for package in ("exptrack_agent", "exptrack_daemon", "proto/exptrack_proto")
    for path in (ROOT / package).rglob("*.py")
)
MODULES = {"tarfile", "zipfile", "zipimport", "gzip", "bz2", "lzma", "py7zr", "rarfile"}
ALLOWED = {"exptrack_agent/torch/checkpoints/files.py": ["zipfile"]}
"""torch's own files are archives: their check sums are compared (`testzip`), and nothing is written."""
CALLS = {"extractall", "extract", "unpack_archive"}


def opened_in(source: str) -> list[str]:
    """Modules and calls of a source that read archives or what is compressed."""
    found: list[str] = []
    if not any(word in source for word in MODULES | CALLS):  # most of them, and parsing takes time
        return found
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").split(".")[0] in MODULES else []
            found += [name.name for name in node.names if name.name in CALLS]
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            found.append(node.attr)
    return found


def test_no_module_reads_an_archive():
    assert len(SOURCES) > 200
    found = {str(path.relative_to(ROOT)): opened_in(path.read_text()) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import tarfile",
        "from zipfile import ZipFile",
        "from shutil import unpack_archive",
        "import shutil\nshutil.unpack_archive('x')",
        "archive.extractall()",
    ],
)
def test_each_way_of_doing_so_is_seen(source):
    assert opened_in(source)
