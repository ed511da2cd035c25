"""`exptrack`, and `python -m exptrack_daemon`: the command line's door."""

from __future__ import annotations

import contextlib
import io
import sys

_NEEDED = frozenset({"msgspec", "psutil", "rich", "typer"})


def main() -> None:
    """Run the command line; says what to install when only the agent is there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")  # any terminal takes what we print
    try:
        from exptrack_daemon.cli import app

        app(prog_name="exptrack")
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        if needed not in _NEEDED:
            raise
        sys.stderr.write(
            f"exptrack: the command line needs {needed}: pip install 'exptrack[daemon]'\n"
        )
        sys.exit(6)


if __name__ == "__main__":
    main()
