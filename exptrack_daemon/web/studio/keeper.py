"""Keeps one program for the studio: `python -P -m …studio.keeper GRACE_S PROGRAM [ARGUMENT …]`.

The program gets a session of its own, no input, and our output. When our own input ends (the studio asked
for the end, or is gone, however it went) the program's group gets SIGTERM, and SIGKILL once the grace is
over. What the program leaves behind in its group when it ends is ended likewise. A daemon that training
started has a session of its own, and lives on. We end as the program did.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys

CANNOT_START = 127
_AFTERGLOW_S = 1.0
"""How long what the program left behind may take to end by itself."""


def main(arguments: list[str] | None = None) -> int:
    grace_s, *command = arguments if arguments is not None else sys.argv[1:]
    # our input is how we are told; a handler is not handed on to the program, as "ignore" would be
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _pass_over)
    try:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        return CANNOT_START
    return _kept(program, float(grace_s))


def _kept(program: subprocess.Popen[bytes], grace_s: float) -> int:
    ended = os.pidfd_open(program.pid)
    ready, _, _ = select.select([ended, sys.stdin.fileno()], [], [])
    if ended not in ready:
        _signal_group(program.pid, signal.SIGTERM)
        select.select([ended], [], [], grace_s)
    _end_rest(program)
    code = program.wait()
    if code < 0:  # as it went: a job's state says which signal it was
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its own dump is the one that counts
        with contextlib.suppress(OSError):  # SIGKILL's cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _end_rest(program: subprocess.Popen[bytes]) -> None:
    """End what is left of the group; the program itself only when it is not gone by now."""
    is_gone = program.poll() is not None
    if is_gone and _signal_group(program.pid, signal.SIGTERM):
        select.select([], [], [], _AFTERGLOW_S)
    _signal_group(program.pid, signal.SIGKILL)


def _signal_group(leader: int, number: int) -> bool:
    """False when nobody is left in the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
        return True
    return False


def _pass_over(_number: int, _frame: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
