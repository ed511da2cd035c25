"""What is settled, and who says so: batches waiting, stalls, the reading of `.wandb` files."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.journal.position import Position
from exptrack_daemon.sinks.base import Settled
from exptrack_daemon.sinks.wandb import offline_log
from exptrack_daemon.sinks.wandb.awaiting import Awaiting
from exptrack_daemon.sinks.wandb.diagnosis import refusal_in
from exptrack_daemon.sinks.wandb.offline_log import LogFile, cut_torn_end, read_tail, scan
from exptrack_daemon.sinks.wandb.readback import count_history, lines_held
from exptrack_daemon.sinks.wandb.server import Question
from exptrack_daemon.sinks.wandb.session import StallWatch
from exptrack_daemon.sinks.wandb.witness import LogWitness, ServerWitness

pytest.importorskip("wandb")
pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")

BLOCK = 32 * 1024


def at(record: int) -> Position:
    return Position(1, record, record, record)


# -- waiting -------------------------------------------------------------------------------------------


def test_a_batch_is_settled_when_all_its_lines_are_held():
    awaiting = Awaiting()
    for record in (1, 2, 3):
        awaiting.add(at(record), record * 10, {"lines": record * 10})
    assert awaiting.settle(9) is None
    assert awaiting.settle(25) == Settled(at(2), {"lines": 20})
    assert awaiting.settle(25) is None
    assert awaiting.settle(30) == Settled(at(3), {"lines": 30})
    assert not awaiting


def test_a_batch_without_lines_waits_for_the_lines_before_it():
    awaiting = Awaiting()
    awaiting.add(at(1), 10, {})
    awaiting.add(at(2), 10, {"config": 1})
    assert awaiting.settle(9) is None
    assert awaiting.settle(10) == Settled(at(2), {"config": 1})


def test_pieces_of_one_batch_are_settled_with_the_last_of_them():
    awaiting = Awaiting()
    awaiting.add(at(5), 10, {"lines": 10})
    awaiting.add(at(5), 20, {"lines": 20})
    assert awaiting.settle(15) is None
    assert awaiting.settle(20) == Settled(at(5), {"lines": 20})


def test_a_stall_is_silence_after_lines_and_not_a_pause_without_any():
    watch = StallWatch(limit_s=30)
    assert not watch.is_stalled(100, 5, now=0)
    assert not watch.is_stalled(100, 5, now=1_000)
    assert not watch.is_stalled(100, 6, now=1_001)
    assert not watch.is_stalled(100, 9, now=1_031)
    assert watch.is_stalled(100, 9, now=1_032)
    assert not watch.is_stalled(101, 9, now=1_033)


# -- the server ----------------------------------------------------------------------------------------


class FakeServer:
    def __init__(self):
        self.lines, self.files, self.is_away = 0, set(), False

    def lines_held(self):
        if self.is_away:
            raise SinkUnavailable("away")
        return self.lines

    def files_held(self, names):
        return frozenset(self.files & set(names))


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def monotonic_s(self):
        return self.now

    def now_ns(self):
        return int(self.now * 1e9)


def answered(witness, clock) -> int:
    """Ask, let the answer come, and take it."""
    clock.now += 100
    witness.held()
    witness._question._thread.join()
    return witness.held()


def test_a_line_with_a_file_is_held_when_its_file_is():
    server, clock = FakeServer(), FakeClock()
    witness = ServerWitness(server, clock, 0, every_s=5)
    witness.expect_file(3, "a.png")
    witness.expect_file(6, "b.png")
    server.lines = 10
    assert answered(witness, clock) == 3
    server.files = {"b.png"}
    assert answered(witness, clock) == 3
    server.files = {"a.png", "b.png"}
    assert answered(witness, clock) == 10


def test_no_answer_settles_nothing_and_is_known_as_silence():
    server, clock = FakeServer(), FakeClock()
    witness = ServerWitness(server, clock, 4, every_s=5)
    server.lines, server.is_away = 10, True
    assert answered(witness, clock) == 4
    assert witness.is_silent()
    server.is_away = False
    assert answered(witness, clock) == 10
    assert not witness.is_silent()


def test_the_server_is_not_asked_more_often_than_wanted():
    clock, asked = FakeClock(), []
    question = Question(clock, every_s=5)
    for _ in range(20):
        clock.now += 1
        question.ask(lambda: asked.append(1))
        if question._thread:
            question._thread.join()
        question.take()
    assert len(asked) == 4


def test_a_gap_in_what_the_server_remembers_does_not_take_back_what_it_said():
    server, clock = FakeServer(), FakeClock()
    witness = ServerWitness(server, clock, 0, every_s=5)
    server.lines = 10
    assert answered(witness, clock) == 10
    server.lines = 7
    assert answered(witness, clock) == 10


# -- the file ------------------------------------------------------------------------------------------


def log_of(*payloads: bytes) -> bytes:
    """A `.wandb` file, written by its description."""
    out = bytearray(b":W&B\xe1\xbe\x01")
    for payload in payloads:
        rest, is_first = payload, True
        while True:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                continue
            piece, rest = rest[: room - 7], rest[room - 7 :]
            kind = (2 if is_first else 3) if rest else (1 if is_first else 4)
            crc = zlib.crc32(bytes([kind]) + piece)
            out += struct.pack("<IHB", crc, len(piece), kind) + piece
            is_first = False
            if not rest:
                break
    return bytes(out)


def history(number: int, size: int = 0) -> bytes:
    record = pb.Record()
    record.history.step.num = number
    for key in ("_step", "step", "a"):
        item = record.history.item.add()
        item.nested_key.append(key)
        item.value_json = "1"
    for key in ("_type", "bins"):
        item = record.history.item.add()
        item.nested_key.extend(["h", key])
        item.value_json = '"' + "x" * size + '"'
    return record.SerializeToString()


def other() -> bytes:
    record = pb.Record()
    record.telemetry.cli_version = "x" * 50
    return record.SerializeToString()


def sized(seed: int, count: int = 60) -> list[bytes]:
    sizes = random.Random(seed)
    return [history(n, sizes.choice([0, 10, 5_000, 32_700, 70_000])) for n in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_records_of_any_size_are_read_back(seed, monkeypatch, tmp_path):
    payloads = sized(seed)
    path = tmp_path / "run.wandb"
    path.write_bytes(log_of(*payloads))
    monkeypatch.setattr(offline_log, "_READ_BYTES", 10_000)
    found = [record.SerializeToString() for record in LogFile(path).read_on()]
    assert found == payloads


def test_a_file_that_grows_is_read_on_and_a_torn_end_waits(tmp_path):
    path = tmp_path / "run.wandb"
    whole = log_of(*sized(1))
    log, seen = LogFile(path), []
    cuts = sorted(random.Random(2).sample(range(len(whole)), 40))
    for cut in [*cuts, len(whole)]:
        path.write_bytes(whole[:cut])
        seen += [record.history.step.num for record in log.read_on()]
        assert seen == list(range(len(seen)))
    assert len(seen) == 60


def test_a_damaged_record_ends_the_reading():
    data = bytearray(log_of(history(0), history(1), history(2)))
    second = next(scan(bytes(data[7:]), 7)).end
    data[second + 20] ^= 1
    assert len(list(scan(bytes(data[7:]), 7))) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_tells_the_last_line_and_cutting_takes_only_what_is_torn(seed, tmp_path):
    path = tmp_path / "run.wandb"
    whole = log_of(*sized(seed), *[other()] * 2_000)
    for cut in random.Random(seed).sample(range(200, len(whole)), 25):
        path.write_bytes(whole[:cut])
        before = [record.SerializeToString() for record in LogFile(path).read_on()]
        lines = [r.history.step.num for r in LogFile(path).read_on() if r.HasField("history")]
        assert read_tail(path).line == (lines[-1] if lines else None)
        cut_torn_end(path)
        assert [record.SerializeToString() for record in LogFile(path).read_on()] == before
        assert not before or read_tail(path).end == path.stat().st_size


def test_an_empty_or_missing_file_holds_nothing(tmp_path):
    path = tmp_path / "run.wandb"
    for content in (None, b"", b":W&B", log_of()):
        if content is not None:
            path.write_bytes(content)
        assert read_tail(path).line is None
        cut_torn_end(path)
        assert not list(LogFile(path).read_on())
        assert LogWitness(path, 5).held() == 5


def fragment(folder, name: str, numbers) -> None:
    path = folder / "wandb" / f"offline-run-{name}-id" / "run-id.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(log_of(other(), *map(history, numbers)))


def test_fragments_are_counted_together(tmp_path):
    fragment(tmp_path, "20260101_000000", range(5))
    fragment(tmp_path, "20260101_000001", [])
    fragment(tmp_path, "20260101_000002", [4, 5, 7])
    held = count_history(tmp_path)
    assert (held.fragments, held.lines, held.points) == (3, 7, 14)
    assert (held.doubled, held.missing) == (1, 1)
    assert lines_held(tmp_path) == 8


def test_the_services_own_log_tells_why_it_gave_up():
    line = (
        b'{"level":"ERROR+4","msg":"filestream: fatal error: filestream: failed to upload: '
        b'413 Request Entity Too Large url=http://x/file_stream: {}"}'
    )
    assert refusal_in(line) == "413 Request Entity Too Large"
    assert refusal_in(b"no json") is None
    assert refusal_in(b"[]") is None
