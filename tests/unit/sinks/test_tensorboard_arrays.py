"""Raw arrays: sizes are checked before anything is made of them."""

import pytest

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.arrays import to_numpy
from exptrack_proto.records import Array


def test_numbers_are_little_endian_in_c_order():
    array = Array(dtype="i2", shape=[2, 1], data=b"\x01\x00\x00\x01")
    assert to_numpy(array, "x").tolist() == [[1], [256]]


def test_booleans_are_bytes():
    assert to_numpy(Array(dtype="b1", shape=[2], data=b"\x01\x00"), "x").tolist() == [True, False]


def test_an_empty_array_of_absurd_shape_is_empty():
    array = Array(dtype="f8", shape=[0, 1 << 40, 1 << 40], data=b"")
    assert to_numpy(array, "x").size == 0


def test_too_few_bytes_are_rejected_by_name():
    with pytest.raises(BatchRejected, match=r"weights: f4 \[2, 3\] takes 24 bytes, not 5"):
        to_numpy(Array(dtype="f4", shape=[2, 3], data=b"12345"), "weights")
