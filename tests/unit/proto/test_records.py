"""The types of items: what they let through is in test_vectors.py and the fuzz tests."""

import msgspec
import pytest

from exptrack_proto.limits import MAX_JSON_BYTES, MAX_TEXT_CHARS
from exptrack_proto.records import Close, Loss, Note, Open, Row, Summary, TextItem, to_msgpack


def test_a_loss_counts_both_of_its_ends():
    assert Loss(time_ns=0, first=3, last=3, reason="x").items == 1
    assert Loss(time_ns=0, first=3, last=9, reason="x").items == 7


def test_a_row_is_an_array_and_an_item_a_map_with_its_kind():
    assert to_msgpack(Close(time_ns=0, status="failed"))[:6] == b"\x84\xa4kind"
    assert msgspec.msgpack.encode(Row(1, 2, {"a": None})) == b"\x93\x01\x02\x81\xa1a\xc0"


def test_a_close_that_names_a_clusters_signal_is_of_a_preempted_run():
    ends = [("finished", 0), ("failed", 1), ("failed", -9), ("failed", -15), ("crashed", -15)]
    closes = [Close(time_ns=0, status=status, exit_code=code) for status, code in ends]
    assert [close.outcome for close in closes] == [
        *("finished", "failed", "failed", "preempted", "crashed")
    ]


@pytest.mark.parametrize(
    ("kind", "field", "most"),
    [
        (Note, "text", MAX_TEXT_CHARS),
        (TextItem, "text", MAX_TEXT_CHARS),
        (Summary, "values", MAX_JSON_BYTES),
        (Open, "config", MAX_JSON_BYTES),
        (Open, "project", 1_024),
    ],
)
def test_texts_are_bounded_in_characters(kind, field, most):
    whole = {"time_ns": 0, "name": "n", "step": 0, "project": "p"}
    for size in (most, most + 1):
        given = {**whole, field: "é" * size}
        fields = {name: given[name] for name in kind.__struct_fields__ if name in given}
        packed = to_msgpack(kind(**fields))
        if size == most:
            assert getattr(msgspec.msgpack.decode(packed, type=kind), field) == "é" * size
        else:
            with pytest.raises(msgspec.ValidationError):
                msgspec.msgpack.decode(packed, type=kind)
