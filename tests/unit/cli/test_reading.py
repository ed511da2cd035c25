"""runs, show, tail, export, verify: what a person and a script get, whatever a run holds."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_proto.records import Alert, Artifact, Note, Summary
from tests.support.homes import HomeBuilder

HOSTILE = "\x1b[31m\x1b]0;pwned\x07../../etc/passwd\n\u202e=cmd()|'x'!A1" + "y" * 900


@pytest.fixture
def home(tmp_path):
    return HomeBuilder(tmp_path)


def run_cli(home, *arguments, code=0):
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout + result.stderr if code else result.stdout


def run_process(home, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "exptrack_daemon", *arguments, "--home", str(home.path)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture
def hostile(home):
    """A run with harm in every place that is shown."""
    run = home.run("r1")
    place = {"project": HOSTILE, "name": HOSTILE, "group": HOSTILE, "job_type": HOSTILE}
    stream = run.stream(
        **place, notes=HOSTILE * 11, tags=[HOSTILE], host=HOSTILE, config={HOSTILE: HOSTILE}
    )
    stream.log({HOSTILE: 1.0, "text": HOSTILE, "nan": float("nan")})
    stream.put(Alert(time_ns=1, title=HOSTILE, text=HOSTILE))
    stream.put(Note(time_ns=1, text=HOSTILE))
    stream.put(Artifact(time_ns=1, step=1, name=HOSTILE, type=HOSTILE, path=HOSTILE, size_bytes=1))
    stream.put(Summary(time_ns=1, values=json.dumps({HOSTILE: HOSTILE, "\ud800": "\ud800"})))
    run.stream(role="sampler").log({HOSTILE: 2.0, "nan_bytes": float("nan"), "s_bytes": HOSTILE})
    stream.lose(2, HOSTILE)
    stream.close("failed", 1)
    cursor = Cursor(status="unavailable", reason=HOSTILE)
    save_cursor(OsFiles(), home.home.cursor("r1", "tensorboard"), cursor)
    return home


@pytest.mark.parametrize(
    "arguments",
    [["runs"], ["show", "r1"], ["show", "r1", "--all"], ["tail", "r1"], ["tail", "r1", "--system"],
     ["verify"], ["runs", "--json"], ["show", "r1", "--json"], ["tail", "r1", "--json"],
     ["verify", "--json"], ["export", "r1", "--format", "jsonl"]],
    ids=" ".join,
)  # fmt: skip
def test_nothing_a_run_holds_reaches_the_terminal_raw(hostile, arguments):
    shown = run_cli(hostile, *arguments)
    assert "pwned" in shown or arguments[0] == "verify"
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("arguments", [["runs"], ["show", "r1"], ["tail", "r1"]], ids=" ".join)
def test_people_read_it_at_80_columns(hostile, arguments):
    assert max(map(len, run_cli(hostile, *arguments).splitlines())) <= 80


def test_a_name_that_was_not_found_is_shown_harmless(hostile):
    shown = run_cli(hostile, "show", f"nope{HOSTILE}", code=3)
    assert "\x1b" not in shown
    assert r"\x1b[31m" in shown


def test_an_empty_home_says_what_to_do_and_is_not_made(tmp_path):
    home = HomeBuilder(tmp_path / "none")
    assert "exptrack demo" in run_cli(home, "runs")
    assert run_cli(home, "runs", "--json") == "[]\n"
    assert "no runs" in run_cli(home, "show", "latest", code=3)
    assert "no runs to verify" in run_cli(home, "verify")
    assert not home.path.exists()


def test_a_home_that_is_a_file_is_unusable(tmp_path):
    (tmp_path / "file").write_text("")
    assert "no folder" in run_cli(HomeBuilder(tmp_path / "file"), "runs", code=5)


def test_runs_lists_the_newest_first_and_only_as_many_as_asked(home):
    for name in ("one", "two", "three"):
        home.finished_run(name, project="mnist")
    lines = run_cli(home, "runs").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        [name, "finished", f"mnist/{name}"] for name in ("three", "two", "one")
    ]
    shown = run_cli(home, "runs", "-n", "1")
    assert "two" not in shown
    assert "2 older runs" in shown


def test_the_home_may_come_from_the_environment(home, monkeypatch):
    home.finished_run("r1")
    monkeypatch.setenv("EXPTRACK_HOME", str(home.path))
    assert "r1" in CliRunner().invoke(app, ["runs"]).stdout


def test_runs_as_json_is_strict_and_whole(hostile):
    (run,) = json.loads(run_cli(hostile, "runs", "--json"), parse_constant=pytest.fail)
    assert (run["id"], run["status"], run["exit_code"], run["lost_items"]) == ("r1", "failed", 1, 2)
    assert run["summary"]["nan"] == "NaN"
    assert run["config"] == {HOSTILE: HOSTILE}
    assert run["updated"].endswith("Z")


@pytest.mark.parametrize("depth", [100, 900, 5_000])
def test_a_config_of_absurd_depth_spoils_no_list(home, depth):
    home.run("r1").stream(config='{"a":' * depth + "1" + "}" * depth)
    assert "r1" in run_cli(home, "runs")
    run_cli(home, "show", "r1")
    assert json.loads(run_cli(home, "runs", "--json"))[0]["id"] == "r1"


def test_show_tells_all_that_matters(home):
    run = home.run("r1")
    stream = run.stream(
        0, project="mnist", name="ddp", world_size=2, config={"opt": {"lr": 0.001}}, tags=["a"]
    )
    run.stream(1, world_size=2).close("crashed", None)
    stream.log({"loss": 0.25}, 7)
    stream.put(Note(time_ns=1, text="looks good"))
    stream.put(
        Artifact(time_ns=1, step=7, name="best", type="model", path="/m.pt", size_bytes=2048)
    )
    run.stream(role="sampler").log({"gpu0/util": 93.0})
    stream.lose(3)
    stream.close()
    cursor = Cursor(rows=1, status="unavailable", reason="server says 503")
    save_cursor(OsFiles(), home.home.cursor("r1", "wandb"), cursor)
    (home.home.run("r1") / "wandb").mkdir()
    shown = run_cli(home, "show", "mnist/ddp")
    for text in (
        *(
            "mnist/ddp  finished",
            "rank 1 crashed",
            "opt.lr",
            "0.001",
            "loss",
            "0.25",
            "last step 7",
        ),
        *("gpu0/util", "wandb", "server says 503", "ring full"),
        *("looks good", "best (model, 2.0 KiB, step 7): /m.pt"),
    ):
        assert text in shown
    assert "runs/r1/wandb" in shown.replace(" ", "").replace("\n", "")  # a long path is folded


def test_show_cuts_long_lists_and_says_how_to_see_the_rest(home):
    run = home.run("r1")
    run.stream().log({f"m{i:04}": 1.0 for i in range(3_000)})
    assert "2,960 more" in run_cli(home, "show", "r1")
    assert "m2999" in run_cli(home, "show", "r1", "--all")


def test_tail_shows_the_last_rows_and_how_it_ended(home):
    home.finished_run("r1", rows=20)
    lines = run_cli(home, "tail", "latest", "-n", "2").splitlines()
    assert ["step 18" in lines[0], "step 19" in lines[1], "finished" in lines[2]] == [True] * 3
    assert len(lines) == 3
    points = [
        json.loads(line) for line in run_cli(home, "tail", "r1", "-n", "2", "--json").splitlines()
    ]
    assert [(p["name"], p["step"]) for p in points] == [
        *(("loss", 18), ("lr", 18), ("loss", 19), ("lr", 19))
    ]


def test_export_goes_to_standard_output_or_a_file(home, tmp_path):
    home.finished_run("r1", rows=2)
    out = run_cli(home, "export", "r1", "--format", "csv")
    assert out.splitlines()[:2] == [
        "name,step,time,value,rank",
        "loss,0,1700000000.000000000,1.0,0",
    ]
    target = tmp_path / "out.jsonl"
    run_cli(home, "export", "r1", "-o", str(target))
    assert len(target.read_text().splitlines()) == 4
    assert json.loads(target.read_text().splitlines()[0])["name"] == "loss"


def test_export_leaves_out_the_sampler_unless_asked(home):
    run = home.run("r1")
    run.stream().log({"loss": 1.0})
    run.stream(role="sampler").log({"gpu": 1.0})
    assert "gpu" not in run_cli(home, "export", "r1")
    assert "gpu" in run_cli(home, "export", "r1", "--system")


def test_export_without_pyarrow_says_what_to_install(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    home.finished_run("r1")
    shown = run_cli(home, "export", "r1", "--format", "parquet", "-o", "x.parquet", code=6)
    assert "pip install 'exptrack[export]'" in shown


def test_verify_passes_a_whole_run_and_fails_one_with_a_gap(home):
    home.finished_run("good")
    assert "accounted for" in run_cli(home, "verify")
    stream = home.run("bad").stream()
    stream.skip(3)
    stream.log({"a": 1})
    assert "3 items before item 4 are missing" in run_cli(home, "verify", code=1)
    assert "missing" in run_cli(home, "verify", "bad", code=1)
    run_cli(home, "verify", "good")
    verdicts = json.loads(run_cli(home, "verify", "--json", code=1))
    assert {v["id"]: v["ok"] for v in verdicts} == {"good": True, "bad": False}


def test_a_pipe_sees_neither_colours_nor_progress(home):
    home.finished_run("r1")
    for arguments in (["runs"], ["show", "r1"], ["export", "r1"], ["nonsense"]):
        done = run_process(home, *arguments)
        assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_sees_colours_unless_told_not_to(home):
    home.run("r1").stream().close("failed", 1)

    def on_terminal(**environment):
        main, side = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "exptrack_daemon", "runs", "--home", str(home.path)],
            stdin=side,
            stdout=side,
            stderr=side,
            check=True,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        os.close(side)
        try:
            return os.read(main, 65_536).decode()
        finally:
            os.close(main)
            assert done.returncode == 0

    assert "\x1b[31m" in on_terminal()
    assert "\x1b[31m" not in on_terminal(NO_COLOR="1")


def test_a_reader_that_goes_away_is_no_fault(home):
    run = home.run("r1")
    stream = run.stream()
    for step in range(40):
        stream.log({f"m{i}": 1.0 for i in range(1_000)}, step)
    command = f"{sys.executable} -m exptrack_daemon export r1 --home {home.path} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("name,step,time,value,rank\n", "", 141)


def test_a_terminal_of_a_poor_encoding_is_enough(home):
    home.finished_run("r1", name="größe 😀")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run_process(home, "show", "r1", env=environment)
    assert done.returncode == 0
    assert "gr\\xf6" in done.stdout


def test_a_catalogue_that_is_not_used_is_said_on_standard_error(home):
    home.finished_run("r1")
    home.home.catalog.write_bytes(b"rubbish" * 1_000)
    done = run_process(home, "runs", "--json")
    assert json.loads(done.stdout)[0]["rows"] == 3
    assert "journals are read instead" in done.stderr


def test_wrong_use_is_exit_code_2(home):
    home.finished_run("r1")
    assert run_process(home, "export", "r1", "--format", "xml").returncode == 2
    assert run_process(home, "nonsense").returncode == 2
    assert run_process(home, "show").returncode == 2


def test_an_ambiguous_name_is_exit_code_3(home):
    home.finished_run("ra", name="same")
    home.finished_run("rb", name="same")
    shown = run_cli(home, "show", "same", code=3)
    assert "2 runs fit" in shown
