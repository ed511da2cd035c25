"""The record frame of event files: u64 length, its masked crc32c, data, its masked crc32c; little-endian.

Masked: rotated right by 15 bits and 0xA282EAD8 added, so that a crc over data that holds crcs stays sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

import google_crc32c

from exptrack_daemon.errors import ExptrackError

_LENGTH = Struct("<Q")
_CRC = Struct("<I")
_HEAD_BYTES = _LENGTH.size + _CRC.size
OVERHEAD_BYTES = _HEAD_BYTES + _CRC.size
"""What a record takes besides its data."""


class RecordDamaged(ExptrackError):
    """A whole record whose bytes do not fit its checksum."""


def frame(data: bytes) -> bytes:
    """One record that holds `data`."""
    return _head(len(data)) + data + _CRC.pack(_masked_crc(data))


@lru_cache(maxsize=4096)
def _head(size: int) -> bytes:
    length = _LENGTH.pack(size)
    return length + _CRC.pack(_masked_crc(length))


def _masked_crc(data: bytes | memoryview) -> int:
    crc: int = google_crc32c.value(bytes(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unframe(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the whole records of a file: the offset after each, and its data.

    A last record that is not whole yet ends the walk: somebody is writing it.

    Raises:
        RecordDamaged: a checksum does not fit.
    """
    view = memoryview(content)
    offset = 0
    while offset + OVERHEAD_BYTES <= len(view):
        size = _checked_length(view, offset)
        end = offset + OVERHEAD_BYTES + size
        if end > len(view):
            return
        data = bytes(view[offset + _HEAD_BYTES : end - _CRC.size])
        if _CRC.unpack_from(view, end - _CRC.size)[0] != _masked_crc(data):
            raise RecordDamaged(f"the record at byte {offset} does not fit its checksum")
        yield end, data
        offset = end


def _checked_length(view: memoryview, offset: int) -> int:
    length = view[offset : offset + _LENGTH.size]
    if _CRC.unpack_from(view, offset + _LENGTH.size)[0] != _masked_crc(length):
        raise RecordDamaged(f"the length at byte {offset} does not fit its checksum")
    size: int = _LENGTH.unpack(length)[0]
    return size


def whole_bytes(content: bytes) -> int:
    """How many bytes from the start are whole, sound records."""
    offset = 0
    try:
        for end, _ in unframe(content):
            offset = end
    except RecordDamaged:
        return offset
    return offset
