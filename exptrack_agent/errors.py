"""What the agent may raise into training code: only for what the caller did, never for infrastructure.

ExptrackAgentError
├── Misuse          (strict mode, or a call that can have no meaning) also a ValueError
└── RunNotFound     `resume="must"` and there is no such run; also a LookupError
"""


class ExptrackAgentError(Exception):
    """Never raised itself."""


class Misuse(ExptrackAgentError, ValueError):
    """An argument that cannot be taken; the message says what to do."""


class RunNotFound(ExptrackAgentError, LookupError):
    """A run that must exist does not."""
