from __future__ import annotations

import subprocess
import sys


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = """
import sys
from exptrack_daemon.store import open_home
reader = open_home("/nonexistent/home")
assert reader.runs() == []
print(*sorted({"numpy", "pyarrow", "duckdb", "pandas", "polars"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
