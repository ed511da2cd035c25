"""The daemon as a process that nobody looks at: started by an agent, or by `exptrack daemon start`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exptrack_daemon.errors import AlreadyRunning, ExptrackError
from exptrack_daemon.supervisor.foreground import EXIT_ALREADY_RUNNING, run_daemon

EXIT_UNUSABLE = 5


def main() -> int:
    """Parse the few options and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m exptrack_daemon.supervisor", description=__doc__
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--autostarted", action="store_true", help="end when idle for long")
    parser.add_argument(
        "--launch-lock", type=int, help="an inherited lock that is held while this lives"
    )
    options = parser.parse_args()
    try:
        return run_daemon(options.home, autostarted=options.autostarted)
    except AlreadyRunning as error:
        if not options.autostarted:  # of many ranks that start one, all but one come here
            sys.stderr.write(f"exptrack: {error}\n")
        return EXIT_ALREADY_RUNNING
    except ExptrackError as error:
        sys.stderr.write(f"exptrack: {error}\n")
        return EXIT_UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
