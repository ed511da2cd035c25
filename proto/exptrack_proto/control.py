"""Control messages: agents tell the intake which stream they are, the intake acknowledges.

Each is one msgpack array of scalars: `[version, kind, …]`. They travel between a DEALER (agent) and the
intake's ROUTER, beside the frames; losing one is harmless, since the agent asks again.

    hello  agent → intake   stream 16 bytes, run id, first sequence that the agent can still send,
                            next sequence it will send
    ack    intake → agent   boot id (changes with each intake process), stream, next sequence:
                            all before it are durable; a word for the user, or ""
    stop   intake → agent   stream, reason: somebody asked for this run to stop
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgpack

from exptrack_proto.errors import Malformed, UnsupportedVersion
from exptrack_proto.frame import RUN_ID
from exptrack_proto.limits import FORMAT_VERSION, MAX_SEQUENCE, STREAM_ID_BYTES

MAX_CONTROL_BYTES = 4_096


class Hello(NamedTuple):
    """Sent on connecting, and again whenever an acknowledgement is overdue."""

    stream: bytes
    run_id: str
    first: int
    next: int


class Ack(NamedTuple):
    """All items of `stream` before `next` are durable."""

    boot: str
    stream: bytes
    next: int
    notice: str = ""


class Stop(NamedTuple):
    """Somebody asked for this run to stop."""

    stream: bytes
    reason: str


Control: TypeAlias = Hello | Ack | Stop

_KINDS: dict[str, type[Hello] | type[Ack] | type[Stop]] = {"hello": Hello, "ack": Ack, "stop": Stop}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode_control(message: Control) -> bytes:
    """Pack one control message."""
    packed: bytes = msgpack.packb([FORMAT_VERSION, _NAMES[type(message)], *message])
    return packed


def decode_control(data: bytes) -> Control:
    """Read one control message.

    Raises:
        UnsupportedVersion: it was written by a newer exptrack.
        Malformed: anything else is wrong with it.
    """
    if len(data) > MAX_CONTROL_BYTES:
        raise Malformed(f"control message has {len(data)} bytes, more than {MAX_CONTROL_BYTES}")
    try:
        parts = msgpack.unpackb(data, max_array_len=8, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise Malformed("control message is not msgpack") from error
    if not isinstance(parts, list) or len(parts) < 2 or type(parts[0]) is not int:
        raise Malformed("control message is not [version, kind, …]")
    if parts[0] > FORMAT_VERSION:
        raise UnsupportedVersion(
            f"control message is version {parts[0]}, newest known is {FORMAT_VERSION}"
        )
    if parts[0] < 1:
        raise Malformed(f"control message is version {parts[0]}")
    return _checked(parts[1], parts[2:])


def _checked(name: object, fields: list[object]) -> Control:
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None or len(fields) != len(kind._fields):
        raise Malformed(f"control message {name!r} with {len(fields)} fields is unknown")
    for field, value in zip(kind._fields, fields, strict=True):
        if not _RULES[field](value):
            raise Malformed(f"control message {name!r} has a bad {field}")
    return kind(*fields)  # type: ignore[arg-type]  # just checked, field by field


def _is_sequence(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_SEQUENCE


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_RULES = {
    "stream": lambda value: isinstance(value, bytes) and len(value) == STREAM_ID_BYTES,
    "run_id": lambda value: isinstance(value, str) and RUN_ID.fullmatch(value) is not None,
    "first": _is_sequence,
    "next": _is_sequence,
    "boot": _is_text,
    "notice": _is_text,
    "reason": _is_text,
}
