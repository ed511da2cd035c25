"""What the exit codes mean, and which one an error gets. Scripts rely on these numbers."""

from __future__ import annotations

from enum import IntEnum

from exptrack_daemon.errors import ExptrackError


class ExitCode(IntEnum):
    OK = 0
    CHECK_FAILED = 1
    """The question was answered, and the answer is no (`verify`, `doctor`)."""
    USAGE = 2
    NOT_FOUND = 3
    DAEMON_UNREACHABLE = 4
    HOME_UNUSABLE = 5
    MISSING_EXTRA = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class UsageWrong(ExptrackError):
    """What was asked for can't be done as it was put."""


class DaemonUnreachable(ExptrackError):
    """No daemon answers for this home."""


_CODES = {
    "RunNotFound": ExitCode.NOT_FOUND,
    "DaemonUnreachable": ExitCode.DAEMON_UNREACHABLE,
    "AlreadyRunning": ExitCode.HOME_UNUSABLE,
    "HomeUnusable": ExitCode.HOME_UNUSABLE,
    "CatalogNewer": ExitCode.HOME_UNUSABLE,
    "MissingExtra": ExitCode.MISSING_EXTRA,
    "ConfigInvalid": ExitCode.USAGE,
    "UsageWrong": ExitCode.USAGE,
    "NothingToStop": ExitCode.USAGE,
    "FilterError": ExitCode.USAGE,
    "AnnotationWrong": ExitCode.USAGE,
    "AnnotationsUnusable": ExitCode.HOME_UNUSABLE,
    "PlotRefused": ExitCode.USAGE,
    "NothingToDraw": ExitCode.NOT_FOUND,
}
"""By the error's name: the modules of all of them take longer to load than most commands run."""


def code_of(error: ExptrackError) -> ExitCode:
    """The exit code of an error; of one that has none of its own, `HOME_UNUSABLE`."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES:
            return _CODES[kind.__name__]
    return ExitCode.HOME_UNUSABLE
