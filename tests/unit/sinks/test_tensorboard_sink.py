"""The sink: opens where it stopped, undoes what failed, says what it lacks."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exptrack_daemon.errors import BatchRejected, ConfigInvalid, SinkBroken, SinkUnavailable
from exptrack_daemon.sinks.tensorboard import open_sink
from exptrack_daemon.sinks.tensorboard.readback import count_points
from exptrack_daemon.sinks.tensorboard.sink import open_files
from exptrack_proto.records import Array, Image
from tests.support.faulty_files import FaultyFiles
from tests.support.tensorboard_journal import (
    Journal,
    batches,
    contents,
    context,
    deliver,
    project,
    run_info,
    stream,
)


@pytest.fixture
def journal():
    journal = Journal(run_info(config={"lr": 0.1})).open()
    for start in range(0, 40, 10):
        journal.rows([(start + n, {"a": 1.0, "b": n}) for n in range(10)])
        journal.rows([(start, {"a": 2.0})]).rows([(start, {"a": 3.0})], stream(rank=1))
    return journal.close()


@pytest.fixture
def wanted(journal, tmp_path):
    return contents(project(tmp_path / "wanted", journal))


def halves(journal):
    return journal.entries[:7], journal.entries[7:]


def test_a_sink_opened_from_a_saved_state_goes_on_as_if_never_closed(journal, wanted, tmp_path):
    first, second = halves(journal)
    saved = deliver(open_sink(journal.run, context(tmp_path), None), journal.run, first).state
    settled = deliver(open_sink(journal.run, context(tmp_path), saved), journal.run, second)
    assert contents(tmp_path / "tensorboard" / settled.state["folder"]) == wanted


def test_bytes_past_the_saved_state_are_cut_in_every_file(journal, wanted, tmp_path):
    first, second = halves(journal)
    sink = open_sink(journal.run, context(tmp_path), None)
    saved = deliver(sink, journal.run, first).state
    deliver(sink, journal.run, second)
    folder = tmp_path / "tensorboard" / saved["folder"]
    assert contents(folder) == wanted
    open_sink(journal.run, context(tmp_path), saved)
    assert {name: len(data) for name, data in contents(folder).items() if data} == {
        f"{name}/{path.name}".removeprefix("/"): size
        for name, size in saved["sizes"].items()
        for path in folder.glob("*tfevents*")
    }
    deliver(open_sink(journal.run, context(tmp_path), saved), journal.run, second)
    assert contents(folder) == wanted


def test_without_a_state_the_files_are_written_anew_in_the_same_inodes(journal, wanted, tmp_path):
    folder = project(tmp_path, journal)
    inodes = {path: path.stat().st_ino for path in folder.rglob("*tfevents*")}
    open_sink(journal.run, context(tmp_path), None)
    assert set(contents(folder).values()) == {b""}
    assert project(tmp_path, journal) == folder
    assert contents(folder) == wanted
    assert {path: path.stat().st_ino for path in folder.rglob("*tfevents*")} == inodes


def test_other_runs_files_in_the_tree_are_left_alone(journal, tmp_path):
    folder = project(tmp_path, journal)
    foreign = folder / "events.out.tfevents.1.host"
    foreign.write_bytes(b"theirs")
    open_sink(journal.run, context(tmp_path), None)
    assert foreign.read_bytes() == b"theirs"


def test_two_runs_of_one_name_get_two_folders(journal, tmp_path):
    first = project(tmp_path, journal)
    again = Journal(run_info(run_id="other")).rows([(1, {"a": 1.0})])
    assert project(tmp_path, again).name == f"{first.name}_other"


def test_a_full_disk_takes_nothing_and_the_same_batch_comes_again(journal, wanted, tmp_path):
    files = FaultyFiles()
    sink = open_files(journal.run, tmp_path, None, files)
    first, second = batches(journal.run, halves(journal))
    sink.write(first)
    before = contents(tmp_path)
    files.fail_next("append")
    with pytest.raises(SinkUnavailable, match="No space left"):
        sink.write(second)
    assert contents(tmp_path) == before
    sink.write(second)
    sink.settled()
    assert contents(tmp_path / "mnist" / "first~20try") == wanted


def test_the_failure_of_one_file_takes_the_batch_out_of_all(journal, tmp_path):
    class SecondFileFails(FaultyFiles):
        def open_append(self, path):
            if path.parent.name == "late":
                self.fail_next("append")
            return super().open_append(path)

    sink = open_files(journal.run, tmp_path, None, SecondFileFails())
    [batch] = batches(journal.run, [journal.entries])
    with pytest.raises(SinkUnavailable):
        sink.write(batch)
    assert set(contents(tmp_path / "mnist").values()) == {b""}


def test_a_failed_sync_settles_nothing_until_the_bytes_are_safe(journal, wanted, tmp_path):
    files = FaultyFiles()
    sink = open_files(journal.run, tmp_path, None, files)
    [batch] = batches(journal.run, [journal.entries])
    sink.write(batch)
    files.fail_next("sync")
    with pytest.raises(SinkUnavailable, match="Input/output"):
        sink.settled()
    assert sink.settled().end == batch.end
    assert contents(tmp_path / "mnist" / "first~20try") == wanted


def test_a_rejected_item_takes_nothing_of_its_batch_into_the_files(journal, wanted, tmp_path):
    bad = Journal(journal.run).item(
        Image(name="bad", step=1, time_ns=1, pixels=Array("u1", [2, 2]))
    )
    sink = open_sink(journal.run, context(tmp_path), None)
    first, second = halves(journal)
    deliver(sink, journal.run, first)
    [mixed] = batches(journal.run, [second[:3] + bad.entries + second[3:]])
    with pytest.raises(BatchRejected, match="'bad'"):
        sink.write(mixed)
    deliver(sink, journal.run, second)
    assert contents(tmp_path / "tensorboard" / "mnist" / "first~20try") == wanted


def test_settled_speaks_once_for_each_batch(journal, tmp_path):
    sink = open_sink(journal.run, context(tmp_path), None)
    assert sink.settled() is None
    deliver(sink, journal.run, journal.entries)
    assert sink.settled() is None


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_idle_sink_holds_no_descriptor(journal, tmp_path):
    before = open_descriptors()
    sinks = [open_sink(run_info(run_id=f"r{n}"), context(tmp_path), None) for n in range(50)]
    for sink in sinks:
        deliver(sink, journal.run, journal.entries)
    assert open_descriptors() == before


def test_many_ranks_in_one_batch_hold_few_descriptors(tmp_path):
    journal, files = Journal(), FaultyFiles()
    for rank in range(100):
        journal.rows([(1, {"a": 1.0})], stream(rank=rank))
    sink = open_files(journal.run, tmp_path, None, files)
    [batch] = batches(journal.run, [journal.entries])
    sink.write(batch)
    assert files.opened <= 17
    sink.settled()
    assert files.opened == 0


def test_files_and_folders_are_private(journal, tmp_path):
    folder = project(tmp_path, journal)
    for path in [folder, *folder.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_files_somebody_removed_begin_again_and_say_so(journal, tmp_path, caplog):
    first, second = halves(journal)
    saved = deliver(open_sink(journal.run, context(tmp_path), None), journal.run, first).state
    folder = tmp_path / "tensorboard" / saved["folder"]
    for path in folder.rglob("*tfevents*"):
        path.unlink()
    deliver(open_sink(journal.run, context(tmp_path), saved), journal.run, second)
    assert "exptrack replay r4k2 --to tensorboard" in caplog.text
    assert count_points(folder)["b"] == 20


def test_a_run_whose_folder_went_to_another_takes_a_new_one(journal, tmp_path):
    first, second = halves(journal)
    saved = deliver(open_sink(journal.run, context(tmp_path), None), journal.run, first).state
    shutil.rmtree(tmp_path / "tensorboard" / saved["folder"])
    theirs = project(tmp_path, Journal(run_info(run_id="other")).rows([(1, {"a": 1.0})]))
    sink = open_sink(journal.run, context(tmp_path), saved)
    assert deliver(sink, journal.run, second).state["folder"] == f"{saved['folder']}_r4k2"
    assert len(list(theirs.glob("*tfevents*"))) == 1


def test_late_points_are_told_of_once(journal, tmp_path, caplog):
    deliver(
        open_sink(journal.run, context(tmp_path), None),
        journal.run,
        *[[e] for e in journal.entries],
    )
    journal.rows([(step, {"a": 1.0}) for step in range(20, 0, -1)])
    project(tmp_path / "again", journal)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert told[0].endswith("shown as mnist/first~20try/late.")
    assert told[2].endswith("hide some points of mnist/first~20try/late_8.")


def test_a_file_somebody_shortened_goes_on_after_its_last_whole_record(journal, tmp_path, caplog):
    first, second = halves(journal)
    saved = deliver(open_sink(journal.run, context(tmp_path), None), journal.run, first).state
    folder = tmp_path / "tensorboard" / saved["folder"]
    path = next(folder.glob("*tfevents*"))
    os.truncate(path, path.stat().st_size - 3)
    deliver(open_sink(journal.run, context(tmp_path), saved), journal.run, second)
    assert "going on after" in caplog.text
    assert count_points(folder)["b"] in (38, 39, 40)


def test_a_state_of_a_newer_exptrack_is_refused_untouched(journal, tmp_path):
    sink = open_sink(journal.run, context(tmp_path), None)
    saved = deliver(sink, journal.run, journal.entries).state
    before = contents(tmp_path)
    with pytest.raises(SinkBroken, match="newer exptrack"):
        open_sink(journal.run, context(tmp_path), {**saved, "version": 2})
    assert contents(tmp_path) == before


def test_the_directory_can_be_set_and_nothing_else(journal, tmp_path):
    elsewhere = context(tmp_path / "home", directory=str(tmp_path / "tb"))
    deliver(open_sink(journal.run, elsewhere, None), journal.run, journal.entries)
    assert count_points(tmp_path / "tb" / "mnist" / "first~20try")
    with pytest.raises(ConfigInvalid, match="colour"):
        open_sink(journal.run, context(tmp_path, colour="red"), None)


def test_a_home_that_cannot_be_written_is_unavailable(journal, tmp_path):
    (tmp_path / "tensorboard").write_text("a file in the folder's place")
    with pytest.raises(SinkUnavailable, match="tensorboard"):
        open_sink(journal.run, context(tmp_path), None)


@pytest.mark.parametrize("missing", ["tensorboard", "PIL", "google_crc32c", "numpy"])
def test_a_missing_library_is_named_with_what_to_install(missing, journal, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SinkBroken, match=rf"{missing}: pip install 'exptrack\[tensorboard\]'"):
        open_sink(journal.run, context(tmp_path), None)


def test_importing_the_package_imports_no_library_and_opening_imports_no_tensorflow(tmp_path):
    program = f"""
import sys
from exptrack_daemon.sinks.tensorboard import open_sink
heavy = ("tensorboard", "numpy", "PIL", "google_crc32c", "tensorflow")
assert not [name for name in heavy if name in sys.modules]
sys.path.insert(0, {str(Path.cwd())!r})
from tests.support.tensorboard_journal import context, run_info
from pathlib import Path
open_sink(run_info(), context(Path({str(tmp_path)!r})), None)
assert "tensorboard.compat.proto.event_pb2" in sys.modules
assert not [name for name in sys.modules if "tensorflow" in name]
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_state_is_json_of_plain_values(journal, tmp_path):
    sink = open_sink(journal.run, context(tmp_path), None)
    for batch in batches(journal.run, [journal.entries]):
        sink.write(batch)
    state = sink.settled().state
    assert json.loads(json.dumps(state)) == state
    assert len(json.dumps(state)) < 2_000
