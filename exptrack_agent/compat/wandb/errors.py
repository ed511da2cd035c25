"""What the drop-in raises, by W&B's names.

Classes:
    Error
    UsageError, an Error
    ConfigError, a UsageError: a config value that is there already was to be changed
    CommError, an Error: never raised; scripts catch it
"""

from __future__ import annotations


class Error(Exception):
    """Base of all."""


class UsageError(Error):
    """A call that can have no meaning."""


class ConfigError(UsageError):
    """A value of the config was to be changed without `allow_val_change`."""


class CommError(Error):
    """Never raised: nothing here talks to a server."""
