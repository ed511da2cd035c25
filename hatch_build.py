"""Compiles the agent's hot path when a C compiler is there; without one exptrack is pure Python, and says so.

A wheel that holds it is one for this Python and platform; `EXPTRACK_PURE=1` makes the pure wheel for all.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "exptrack_agent._pen"
SOURCE = "exptrack_agent/_pen.c"


class CompiledHotPath(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `exptrack_agent._pen` to the wheel, or to the folder of an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where the library is; called once for each wheel."""
        if self.target_name != "wheel" or os.environ.get("EXPTRACK_PURE", "") not in ("", "0"):
            return
        try:
            built = _compile(Path(self.root))
        except Exception as error:  # noqa: BLE001  # no compiler, no headers, a platform without either
            self.app.display_warning(f"exptrack: the hot path stays pure Python ({error})")
            return
        path = str(built.relative_to(self.root))
        build_data["artifacts"].append(path)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False


def _compile(root: Path) -> Path:
    """Compile into the source folder; gives the library's path."""
    from setuptools import Distribution, Extension

    extension = Extension(NAME, [str(root / SOURCE)], extra_compile_args=["-O2"])
    with tempfile.TemporaryDirectory() as folder:
        command = Distribution({"name": "exptrack", "ext_modules": [extension]}).get_command_obj(
            "build_ext"
        )
        command.build_temp = command.build_lib = folder
        command.ensure_finalized()
        command.run()
        made = Path(command.get_ext_fullpath(NAME))
        path = root / "exptrack_agent" / made.name
        staged = path.with_suffix(".part")
        shutil.copyfile(made, staged)
        staged.replace(path)
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{_compile(Path(__file__).parent)}\n")
