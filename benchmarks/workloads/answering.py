"""How a workload gets its options and gives its answer. Imports next to nothing: some measure imports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def answer(work: Callable[..., dict[str, Any]]) -> None:
    """Call with the options of the command line, and print what comes back."""
    print(json.dumps(work(**json.loads(sys.argv[1]))), flush=True)
