"""The binary answer of `POST charts`. Pure.

    u32 LE   length of the header in bytes
    header   JSON, UTF-8
    zeros    up to the next multiple of 8 (from the frame's start)
    float32  LE, [name][run][stat][cell] in the header's order

A value that no float32 holds is the largest that one does: infinities are counted apart and never drawn.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from exptrack_daemon.store.series import Array

_LENGTH = struct.Struct("<I")
_MOST = float(np.finfo(np.float32).max)


def encode(header: Mapping[str, Any], values: Array) -> bytes:
    """A frame of the header (strict JSON) and the values (float64, of any shape)."""
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    padding = -(_LENGTH.size + len(text)) % 8
    small = np.clip(values, -_MOST, _MOST).astype("<f4")
    return b"".join((_LENGTH.pack(len(text)), text, bytes(padding), small.tobytes()))
