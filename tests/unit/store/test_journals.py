"""Walking journals from any known facts on."""

from __future__ import annotations

from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.entries import Rows
from exptrack_daemon.journal.reader import segment_path
from exptrack_daemon.store.facts import fresh
from exptrack_daemon.store.journals import first_info, fold_tail, walk_all, walk_last_rows
from exptrack_proto.frame import Kind, encode_header
from tests.support.homes import HomeBuilder

FILES = OsFiles()


def folded(home, run_id, until=None):
    facts = fresh(run_id)
    fold_tail(FILES, home.home, facts, until)
    return facts


def test_folding_in_two_parts_gives_what_one_fold_gives(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    first = run.stream()
    first.log({"a": 1.0}, 1)
    second = run.stream(1)
    second.log({"b": 1.0}, 2)
    first.log({"a": 2.0}, 3)
    first.close()
    whole = folded(home, "r")
    for frames in range(whole.position.record + 1):
        part = folded(home, "r", until=frames)
        assert part.position.record == frames
        fold_tail(FILES, home.home, part)
        assert part == whole


def test_a_run_nobody_wrote_has_empty_facts(tmp_path):
    assert folded(HomeBuilder(tmp_path), "none") == fresh("none")


def test_a_frame_that_does_not_decode_is_passed_over_and_reported(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    stream = run.stream()
    run.append(encode_header(Kind.EVENT, "r", stream.id, 1, 1) + b"\xc1")
    stream.next = 2
    stream.log({"a": 1})
    facts = fresh("r")
    (flaw,) = fold_tail(FILES, home.home, facts)
    assert "frame 1 does not decode" in flaw
    assert facts.rows == 1


def test_damage_is_passed_over_and_reported(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    stream = run.stream()
    for step in range(200):
        stream.log({f"m{i}": 1.0 for i in range(100)}, step)
    path = segment_path(home.home.journal("r"), 1)
    data = bytearray(path.read_bytes())
    data[40_000] ^= 0xFF
    path.write_bytes(data)
    facts = fresh("r")
    flaws = fold_tail(FILES, home.home, facts)
    assert "checksum" in flaws[0]
    assert 150 < facts.rows < 200
    assert facts.position.rows == 200


def test_what_a_run_is_can_be_read_from_its_beginning(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r")
    run.stream(role="sampler", project="no", name="no")
    run.stream(project="p", name="n", config={"lr": 1}).log({"a": 1})
    info = first_info(FILES, home.home, "r")
    assert (info.project, info.name, info.config) == ("p", "n", {"lr": 1})
    assert first_info(FILES, home.home, "none").created_ns == 0


def test_the_last_rows_are_met_without_reading_every_segment(tmp_path):
    home = HomeBuilder(tmp_path)
    run = home.run("r", segment_bytes=1 << 20)
    streams = [run.stream(0), run.stream(1)]
    wide = {f"metric/{i}": float(i) for i in range(2_000)}
    for step in range(150):
        streams[step % 2].log(wide, step)
    facts = folded(home, "r")
    assert facts.position.segment > 2
    walk = walk_last_rows(FILES, home.home, facts, 5)
    entries = [entry for _, entry in walk.entries() if isinstance(entry, Rows)]
    assert 5 <= len(entries) < 100
    assert entries[-1].ordinal == 149
    assert {(e.stream.rank, e.stream.attempt) for e in entries} == {(0, 1), (1, 1)}
    everything = [e for _, e in walk_last_rows(FILES, home.home, facts, 10**9).entries()]
    assert len(everything) == len(list(walk_all(FILES, home.home, "r").entries()))
