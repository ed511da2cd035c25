"""The frame's header."""

import pytest

from exptrack_proto.errors import Malformed
from exptrack_proto.frame import HEADER_BYTES, Kind, encode_header, parse, rows_prefix
from exptrack_proto.limits import MAX_FRAME_BYTES, MAX_ROWS_PER_FRAME, MAX_SEQUENCE

STREAM = bytes(range(16))


def header(kind=Kind.ROWS, run_id="run", stream=STREAM, first=0, count=1):
    return encode_header(kind, run_id, stream, first, count)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("run_id", ["r", "_", "a.b-c_9", "r" * 64])
def test_a_header_comes_back_as_it_was(kind, run_id):
    frame = parse(header(kind, run_id, first=7) + b"body")
    assert frame[:5] == (kind, run_id, STREAM, 7, 1)
    assert (bytes(frame.body), frame.end) == (b"body", 8)


def test_a_frame_is_read_from_any_buffer_without_a_copy():
    data = bytearray(header() + b"body")
    body = parse(memoryview(data)).body
    data[-4:] = b"BODY"
    assert body == b"BODY"


@pytest.mark.parametrize("run_id", ["", ".hidden", "-option", "a/b", "ü", "r" * 65, "a\n"])
def test_a_run_id_that_is_no_file_name_is_not_encoded(run_id):
    with pytest.raises(ValueError, match="run id"):
        header(run_id=run_id)


@pytest.mark.parametrize("stream", [b"", STREAM[1:], STREAM + b"x"])
def test_a_stream_id_has_16_bytes(stream):
    with pytest.raises(ValueError, match="16 bytes"):
        header(stream=stream)


def test_the_last_sequence_there_is_can_be_used_and_none_after_it():
    assert parse(header(first=MAX_SEQUENCE - 1)).end == MAX_SEQUENCE
    with pytest.raises(Malformed, match="out of range"):
        parse(header(first=MAX_SEQUENCE))


def test_only_rows_come_in_numbers():
    assert parse(header(count=MAX_ROWS_PER_FRAME)).items == 65_536
    for kind, count in ((Kind.ROWS, 65_537), (Kind.ROWS, 0), (Kind.EVENT, 2), (Kind.OPEN, 0)):
        with pytest.raises(Malformed, match="cannot hold"):
            parse(header(kind, count=count))


def test_a_frame_has_at_most_a_mebibyte():
    data = header()
    assert parse(data + bytes(MAX_FRAME_BYTES - len(data)))
    with pytest.raises(Malformed, match="1048577 bytes"):
        parse(data + bytes(MAX_FRAME_BYTES - len(data) + 1))


def test_every_cut_of_a_header_is_refused():
    data = header()
    assert len(data) == HEADER_BYTES + 3
    for size in range(len(data)):
        with pytest.raises(Malformed):
            parse(data[:size])


def test_a_prefix_turns_packed_rows_into_a_body():
    assert rows_prefix(258) == b"\xdd\x00\x00\x01\x02"
