"""Exit codes, and which `sys.exit` nobody has caught."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exptrack_agent.exits import ExitWatch, exit_code_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def watch() -> Iterator[ExitWatch]:
    before = sys.exit
    watch = ExitWatch()
    yield watch
    assert sys.exit is before


class Somebody:
    pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (SystemExit(), 0),
        (SystemExit(0), 0),
        (SystemExit(3), 3),
        (SystemExit(-15), 241),
        (SystemExit(256), 0),
        (SystemExit("message"), 1),
        (KeyboardInterrupt(), 130),
        (ValueError(), 1),
    ],
    ids=range(9),
)
def test_exceptions_become_exit_codes(error: BaseException | None, code: int):
    assert exit_code_of(error) == code


def test_an_exit_that_is_caught_is_none(watch: ExitWatch):
    who = Somebody()
    watch.join(who)
    with contextlib.suppress(SystemExit):
        sys.exit(4)
    assert watch.code_at_exit() == 0
    watch.leave(who)


def test_an_exit_that_something_still_holds_counts(watch: ExitWatch):
    who = Somebody()
    watch.join(who)
    try:
        sys.exit(5)
    except SystemExit as error:
        kept = error
    assert watch.code_at_exit() == 5
    del kept
    assert watch.code_at_exit() == 0
    watch.leave(who)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_threads_exit_is_that_threads(watch: ExitWatch):
    who = Somebody()
    watch.join(who)
    ending = threading.Thread(target=lambda: sys.exit(3))
    ending.start()
    ending.join()
    assert watch.code_at_exit() == 0
    watch.leave(who)


def test_the_last_one_puts_it_back(watch: ExitWatch):
    before, first, second = sys.exit, Somebody(), Somebody()
    watch.join(first)
    watch.join(second)
    ours = sys.exit
    assert ours is not before
    assert ours.__doc__ == before.__doc__
    watch.leave(first)
    assert sys.exit is ours
    watch.leave(second)
    watch.leave(second)
    assert sys.exit is before


def test_what_others_wrap_around_it_is_left_alone(watch: ExitWatch):
    before, who = sys.exit, Somebody()
    watch.join(who)
    ours = sys.exit

    def theirs(code: object = None) -> None:
        ours(code)

    sys.exit = theirs  # type: ignore[assignment]
    try:
        watch.leave(who)
        assert sys.exit is theirs
        with pytest.raises(SystemExit):
            sys.exit(1)
    finally:
        sys.exit = before


SCRIPT = """
import atexit, sys
from exptrack_agent.exits import exits
class Somebody: pass
who = Somebody()
exits.join(who)
atexit.register(lambda: print(exits.code_at_exit()))
"""

KEPT = """
def main():
    try:
        sys.exit(3)
    except SystemExit as error:
        kept = error
        raise
main()
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("sys.exit()", 0),
        ("quit(2)", 2),
        ("sys.exit('no data')", 1),
        (KEPT, 3),
        ("exits.reset_after_fork(); exits.leave(who); sys.exit(7)", 0),
        ("import argparse; argparse.ArgumentParser().parse_args(['--no'])", 2),
    ],
)
def test_at_exit_the_code_is_known(end: str, code: int):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + end],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout.strip() == str(code), done.stderr
