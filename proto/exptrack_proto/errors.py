"""What can be wrong with bytes that claim to be ours.

ProtocolError
├── UnsupportedVersion   written by a newer exptrack; leave it untouched
└── Malformed            not a frame, item or segment of this version
"""


class ProtocolError(Exception):
    """Bytes that cannot be taken. Never raised itself: one of its children says why."""


class UnsupportedVersion(ProtocolError):
    """The format version is newer than this code knows; nothing was read or changed."""


class Malformed(ProtocolError):
    """The bytes break a rule of the format; the message says which."""
