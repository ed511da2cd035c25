"""The binary frame: its layout, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.web.frames import encode
from tests.support.studio import decode_frame


@pytest.mark.parametrize("padding", range(9))
def test_values_begin_at_a_multiple_of_eight_whatever_the_header_says(padding):
    header = {"names": ["a", "ü"], "runs": [1], "stats": ["m"], "cells": 3, "p": "x" * padding}
    values = np.arange(6.0).reshape(2, 1, 1, 3)
    data = encode(header, values)
    assert (len(data) - values.size * 4) % 8 == 0
    found, decoded = decode_frame(data)
    assert found == header
    np.testing.assert_array_equal(decoded, values)


def test_nan_stays_and_what_no_float32_holds_is_the_largest_that_one_does():
    header = {"names": ["a"], "runs": [1], "stats": ["m"], "cells": 4}
    data = encode(header, np.array([np.nan, 1e300, -1e300, 1e-50]).reshape(1, 1, 1, 4))
    (values,) = decode_frame(data)[1].reshape(1, 4)
    most = np.finfo(np.float32).max
    np.testing.assert_array_equal(values, np.array([np.nan, most, -most, 0], np.float32))


def test_a_golden_frame():
    header = {"names": ["a"], "runs": [1], "stats": ["m"], "cells": 1}
    data = encode(header, np.array(1.0).reshape(1, 1, 1, 1))
    text = b'{"names":["a"],"runs":[1],"stats":["m"],"cells":1}'
    assert data == b"\x32\0\0\0" + text + b"\0\0" + b"\0\0\x80\x3f"
