"""Raw arrays of media items as numpy sees them, with every size checked first."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from exptrack_daemon.errors import BatchRejected
from exptrack_proto.records import Array

Numbers: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def to_numpy(array: Array, owner: str) -> Numbers:
    """A view of the array's bytes; `owner` names it in messages.

    Raises:
        BatchRejected: the bytes are not what dtype and shape say.
    """
    dtype = np.dtype("?" if array.dtype == "b1" else f"<{array.dtype}")
    wanted = math.prod(array.shape) * dtype.itemsize
    if wanted != len(array.data):
        raise BatchRejected(
            f"{owner}: {array.dtype} {array.shape} takes {wanted} bytes, not {len(array.data)}"
        )
    # numpy multiplies the dimensions other than 0 and refuses a product past 2**63.
    shape = array.shape if wanted else [0]
    numbers: Numbers = np.frombuffer(array.data, dtype).reshape(shape)
    return numbers
