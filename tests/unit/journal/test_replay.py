"""From frames to entries: the same ones whoever reads them, and from wherever."""

from __future__ import annotations

import json
import math

import pytest

from exptrack_daemon.journal.entries import Event, Rows
from exptrack_daemon.journal.position import Position
from exptrack_daemon.journal.reader import Found
from exptrack_daemon.journal.replay import Replay, json_object, with_config
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.errors import Malformed
from exptrack_proto.frame import Kind, encode_header, parse
from exptrack_proto.limits import MAX_BLOB_BYTES, MAX_CHUNK_BYTES
from exptrack_proto.records import (
    Array,
    Chunk,
    Close,
    Graph,
    Histogram,
    Image,
    Item,
    Loss,
    Note,
    Open,
    Row,
)

RUN = "run"
A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


class Wire:
    """Makes frames as a journal would hand them out."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._next: dict[bytes, int] = {}
        self._rows = 0

    def _add(self, stream: bytes, data: bytes, rows: int) -> Found:
        frame = parse(data)
        self._next[stream] = frame.end
        record = len(self.found)
        start = Position(1, record * 100, record, self._rows)
        self._rows += rows
        end = Position(1, record * 100 + 100, record + 1, self._rows)
        self.found.append(Found(start, end, memoryview(data)))
        return self.found[-1]

    def item(self, item: Item, stream: bytes = A) -> Found:
        return self._add(stream, encode_item(RUN, stream, self._next.get(stream, 0), item), 0)

    def rows(self, count: int, stream: bytes = A) -> Found:
        rows = [Row(number, 0, {"a": 1.0}) for number in range(count)]
        return self._add(stream, encode_rows(RUN, stream, self._next.get(stream, 0), rows), count)


def opened(**fields: object) -> Open:
    values: dict[str, object] = {"time_ns": 5, "project": "p", "name": "n"}
    return Open(**values | fields)  # type: ignore[arg-type]


def chunk(data: bytes) -> Chunk:
    return Chunk(data=data)


def image(chunks: int, data: bytes = b"") -> Image:
    return Image(name="i", step=1, time_ns=2, pixels=Array("u1", [6], chunks, data))


def entries(found: list[Found], replay: Replay | None = None) -> list[object]:
    replay = replay or Replay(RUN)
    return [replay.entries(item) for item in found]


def close() -> Close:
    return Close(time_ns=9, status="finished")


def test_rows_come_with_their_stream_and_their_ordinals():
    wire = Wire()
    wire.item(opened(rank=3, world_size=8, host="h", pid=7))
    wire.rows(2)
    wire.rows(3)
    _, first, second = entries(wire.found)
    assert isinstance(first, Rows)
    assert (first.first, first.ordinal, len(first.rows)) == (1, 0, 2)
    assert (second.first, second.ordinal, len(second.rows)) == (3, 2, 3)
    stream = first.stream
    assert (stream.rank, stream.world_size, stream.host, stream.pid) == (3, 8, "h", 7)
    assert (stream.stream_id, stream.attempt, stream.opened_ns) == (A.hex(), 1, 5)


def test_a_run_is_what_its_first_trainer_said():
    wire = Wire()
    wire.item(opened(project="sampler", role="sampler"), B)
    wire.item(
        opened(group="g", job_type="j", tags=["t"], notes="n", config='{"a": 1}', sinks=["s"]), A
    )
    wire.item(opened(project="later", time_ns=6), C)
    replay = Replay(RUN)
    assert replay.run.created_ns == 0
    entries(wire.found, replay)
    run = replay.run
    assert (run.project, run.created_ns, run.group, run.job_type) == ("p", 5, "g", "j")
    assert (run.tags, run.notes, run.config, run.sinks) == (("t",), "n", {"a": 1}, ("s",))


def test_attempts_are_counted_by_rank_and_role():
    wire = Wire()
    for stream, fields in (
        (A, {}),
        (B, {"rank": 1}),
        (C, {}),
        (b"d" * 16, {"role": "sampler"}),
        (b"e" * 16, {"rank": 1}),
    ):
        wire.item(opened(**fields), stream)
    attempts = [entry.stream.attempt for entry in entries(wire.found)]
    assert attempts == [1, 1, 2, 1, 2]


def test_a_run_has_ended_when_all_its_trainers_have():
    wire, replay = Wire(), Replay(RUN)
    assert not replay.has_ended
    entries([wire.item(opened(role="sampler"), C)], replay)
    assert not replay.has_ended
    entries([wire.item(opened(), A), wire.item(opened(rank=1), B), wire.item(close(), A)], replay)
    assert not replay.has_ended
    entries([wire.item(close(), B)], replay)
    assert replay.has_ended
    entries([wire.item(opened(), b"d" * 16)], replay)
    assert not replay.has_ended


def test_a_stream_whose_open_was_lost_still_counts():
    wire = Wire()
    (entry,) = entries([wire.rows(2)])
    assert entry.stream.stream_id == A.hex()
    assert (entry.stream.rank, entry.stream.attempt, entry.stream.role) == (0, 1, "trainer")


def test_an_item_is_an_event_and_a_chunk_is_nothing_yet():
    wire = Wire()
    wire.rows(4)
    wire.item(Note(time_ns=1, text="t"))
    wire.item(chunk(b"x"))
    _, event, nothing = entries(wire.found)
    assert event == Event(event.stream, 4, 4, Note(time_ns=1, text="t"))
    assert nothing is None


def test_media_is_put_together_from_its_chunks():
    wire = Wire()
    for data in (b"ab", b"cd", b"ef"):
        wire.item(chunk(data))
    wire.item(image(3))
    assert entries(wire.found)[-1].item.pixels == Array("u1", [6], 0, b"abcdef")


def test_media_without_chunks_is_as_it_came():
    wire = Wire()
    wire.item(image(0, b"abcdef"))
    wire.item(Graph(time_ns=0, nodes="[]"))
    first, second = entries(wire.found)
    assert first.item == image(0, b"abcdef")
    assert second.item == Graph(time_ns=0, nodes="[]")


def test_arrays_take_their_chunks_in_the_order_of_their_fields():
    wire = Wire()
    for data in (b"1", b"2", b"3"):
        wire.item(chunk(data))
    arrays = {"counts": Array("i8", [2], 1), "edges": Array("f8", [3], 2)}
    wire.item(Histogram(name="h", step=0, time_ns=0, **arrays))
    item = entries(wire.found)[-1].item
    assert (item.counts.data, item.edges.data, item.values) == (b"1", b"23", None)


def test_streams_do_not_take_each_others_chunks():
    wire = Wire()
    wire.item(chunk(b"A"), A)
    wire.item(chunk(b"B"), B)
    wire.item(image(1), A)
    wire.item(image(1), B)
    found = entries(wire.found)
    assert [entry.item.pixels.data for entry in found[2:]] == [b"A", b"B"]


def test_rows_between_chunks_do_not_part_them():
    wire = Wire()
    wire.item(chunk(b"A"))
    wire.rows(1)
    wire.item(chunk(b"B"))
    wire.item(Note(time_ns=0, text=""))
    wire.item(image(2))
    assert entries(wire.found)[-1].item.pixels.data == b"AB"


def test_media_that_was_never_finished_does_not_leak_into_the_next():
    """Its last items were dropped for want of room; what follows takes its own chunks."""
    wire = Wire()
    wire.item(chunk(b"lost"))
    wire.item(chunk(b"mine"))
    wire.item(image(1))
    assert entries(wire.found)[-1].item.pixels.data == b"mine"


def test_media_that_lost_a_chunk_comes_short_and_never_with_anothers():
    wire = Wire()
    wire.item(chunk(b"other"))
    wire.item(chunk(b"one"))
    wire.item(Loss(time_ns=0, first=2, last=2, reason="refused"))
    wire.item(chunk(b"three"))
    wire.item(image(3))
    assert entries(wire.found)[-1].item.pixels.data == b""


def test_a_closed_stream_forgets_its_chunks():
    wire, replay = Wire(), Replay(RUN)
    entries([wire.item(opened()), wire.item(chunk(b"x")), wire.item(close())], replay)
    end = wire.found[-1].end
    assert replay.safe(end) == end


@pytest.mark.parametrize(("size", "count"), [(MAX_CHUNK_BYTES, 140), (0, 2_000)])
def test_chunks_that_wait_are_bounded(size, count):
    wire, replay = Wire(), Replay(RUN)
    one = wire.item(chunk(bytes(size)))
    for _ in range(count):
        replay.entries(one)
    waiting = replay._pieces[A].waiting
    assert sum(len(data) for _, data in waiting) <= MAX_BLOB_BYTES
    assert len(waiting) <= 768


def test_a_frame_that_does_not_decode_is_an_error_and_the_next_is_read():
    wire, replay = Wire(), Replay(RUN)
    bad = wire._add(A, encode_header(Kind.EVENT, RUN, A, 0, 1) + b"\xc1", 0)
    with pytest.raises(Malformed):
        replay.entries(bad)
    assert isinstance(replay.entries(wire.rows(1)), Rows)


def busy() -> list[Found]:
    wire = Wire()
    wire.item(
        opened(config='{"a": {"b": [1, 1e400, "\\udcff"]}, "big": 123456789012345678901234}'), A
    )
    wire.rows(2, A)
    wire.item(chunk(b"1"), A)
    wire.item(opened(rank=1), B)
    wire.item(chunk(b"x"), B)
    wire.item(opened(), C)
    wire.rows(1, C)
    wire.item(chunk(b"2"), A)
    wire.item(image(2), A)
    wire.item(close(), C)
    wire.item(chunk(b"y"), B)
    wire.rows(3, B)
    wire.item(image(2), B)
    wire.rows(1, b"u" * 16)
    wire.item(opened(), b"d" * 16)
    wire.item(close(), A)
    return wire.found


def test_a_replay_taken_up_anywhere_gives_the_same_entries():
    found = busy()
    whole = entries(found)
    for cut in range(len(found) + 1):
        before = Replay(RUN)
        entries(found[:cut], before)
        end = found[cut - 1].end if cut else found[0].start
        saved = json.loads(json.dumps(before.dump()))
        start = before.safe(end)
        after = Replay(RUN)
        after.load(saved)
        got = [
            after.entries(item) if item.start.record >= cut else after.entries(item) and None
            for item in found
            if item.start >= start
        ]
        kept = got[len(got) - (len(found) - cut) :]
        assert kept == whole[cut:], cut
        assert after.run == before.run or cut == 0


def test_where_to_read_on_from_waits_for_the_oldest_chunk():
    found, replay = busy(), Replay(RUN)
    entries(found[:8], replay)
    assert replay.safe(found[7].end) == found[2].start
    entries(found[8:10], replay)
    assert replay.safe(found[9].end) == found[4].start
    entries(found[10:], replay)
    assert replay.safe(found[-1].end) == found[-1].end


def test_a_dump_without_texts_is_read_too():
    """As the catalogue keeps it."""
    replay = Replay(RUN)
    entries(busy(), replay)
    dump = replay.dump()
    del dump["run"]["json"]
    again = Replay(RUN)
    again.load(dump)
    assert again.run.config == {}
    assert again.streams == replay.streams


def test_a_config_survives_what_json_encoders_disagree_about():
    replay, wire = Replay(RUN), Wire()
    entries(
        [wire.item(opened(config='{"nan": NaN, "big": 1e400, "n": 9999999999999999999999}'))],
        replay,
    )
    again = Replay(RUN)
    again.load(json.loads(json.dumps(replay.dump())))
    assert math.isnan(again.run.config["nan"])
    assert again.run.config["big"] == math.inf
    assert again.run.config["n"] == 9_999_999_999_999_999_999_999


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"value": [1]}),
        ("nonsense", {}),
        ("", {}),
        ("[" * 100_000, {}),
        ("9" * 5_000, {}),
        ('{"a\\udcff": ["\\udcff", 1, "\\ud83d\\ude00"]}', {"a?": ["?", 1, "\U0001f600"]}),
    ],
)
def test_a_json_text_becomes_an_object_whatever_it_is(text, value):
    assert json_object(text) == value


def test_config_keys_are_merged_over_what_is_known():
    replay, wire = Replay(RUN), Wire()
    entries([wire.item(opened(config='{"a": 1, "b": 1}'))], replay)
    assert with_config(replay.run, {"b": 2}).config == {"a": 1, "b": 2}
