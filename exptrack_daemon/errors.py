"""What the daemon's parts raise at their doors.

ExptrackError            a message for a person: what happened, to what, and what to do
├── HomeUnusable         the home folder cannot be used: read-only, full, not ours
├── AlreadyRunning       another daemon owns this home
├── RunNotFound          no run, or more than one, fits what was asked for
├── ConfigInvalid        a setting is unknown or out of range
└── JournalNewer         the journal was written by a newer exptrack
SinkUnavailable          ask the sink again later
BatchRejected            the sink will never take this batch: bisect, set the poison aside, go on
SinkBroken               this sink cannot work on this machine (a missing library): do not ask again
"""


class ExptrackError(Exception):
    """A message for a person; the command line prints it and exits."""


class HomeUnusable(ExptrackError):
    pass


class AlreadyRunning(ExptrackError):
    pass


class RunNotFound(ExptrackError):
    pass


class ConfigInvalid(ExptrackError):
    pass


class JournalNewer(ExptrackError):
    pass


class SinkUnavailable(Exception):
    pass


class BatchRejected(Exception):
    pass


class SinkBroken(Exception):
    pass
