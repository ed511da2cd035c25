"""What a journal says, typed."""

import dataclasses

import pytest

from exptrack_daemon.journal.entries import Event, Rows, RunInfo, Stream
from exptrack_proto.records import Close, Row

STREAM = Stream("00" * 16, 0, 1, 1, "trainer", "host", 1, 0)


@pytest.mark.parametrize(
    "entry",
    [
        RunInfo("r", "p", "n", 1),
        STREAM,
        Rows(STREAM, 0, 0, [Row(0, 0, {})]),
        Event(STREAM, 0, 0, Close(time_ns=0, status="failed")),
    ],
)
def test_an_entry_is_a_value(entry):
    assert entry == dataclasses.replace(entry)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(entry, dataclasses.fields(entry)[0].name, None)
