"""The job table with real processes: started, heard, stopped, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.web.studio.jobs import MOST_RUNNING, Jobs, JobSpec, TooManyJobs, state_of
from tests.support.processes import wait_until

PATIENT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; "
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(p.pid, flush=True); time.sleep({})"
)


@pytest.fixture
def jobs():
    jobs = Jobs(grace_s=0.3)
    yield jobs
    jobs.close()


def spec(code, tmp_path, **fields):
    return JobSpec(
        title="t", command=[sys.executable, "-c", code], run_id="r", cwd=tmp_path, **fields
    )


def ended(jobs, number):
    return wait_until(lambda: not jobs.get(number).is_running and jobs.get(number))


def said(jobs, number, words):
    wait_until(lambda: words in jobs.get(number).output, what=words)


def test_a_program_that_ends_well_is_finished_and_what_it_said_is_kept(jobs, tmp_path):
    code = "import os, sys; print(os.environ['A'], os.getcwd()); print('e', file=sys.stderr)"
    job = jobs.start(spec(code, tmp_path, environ={"A": "ä"}))
    job = ended(jobs, job.number)
    assert (job.state, job.exit_code) == ("finished", 0)
    said(jobs, job.number, f"ä {tmp_path}\ne\n")


def test_a_program_that_fails_shows_its_last_lines(jobs, tmp_path):
    job = jobs.start(spec("raise SystemExit('no data')", tmp_path))
    job = ended(jobs, job.number)
    assert (job.state, job.exit_code) == ("failed", 1)
    said(jobs, job.number, "no data")


def test_a_program_that_cannot_be_started_fails_in_words(jobs, tmp_path):
    job = jobs.start(JobSpec(title="t", command=["/no/such"], run_id="r", cwd=tmp_path))
    job = ended(jobs, job.number)
    assert job.state == "failed"
    said(jobs, job.number, "/no/such cannot be started")


def test_stopping_asks_first(jobs, tmp_path):
    code = "import signal, time\ndef end(*_): print('saved', flush=True); raise SystemExit(0)\n"
    code += "signal.signal(15, end); print('up', flush=True); time.sleep(60)"
    job = jobs.start(spec(code, tmp_path))
    said(jobs, job.number, "up")
    jobs.stop(job.number)
    job = ended(jobs, job.number)
    assert (job.state, job.exit_code) == ("stopped", 0)
    said(jobs, job.number, "saved")


def test_a_program_that_will_not_end_is_killed_after_the_grace(jobs, tmp_path):
    job = jobs.start(spec(STUBBORN, tmp_path))
    said(jobs, job.number, "up")
    jobs.stop(job.number)
    assert jobs.get(job.number).state in ("stopping", "stopped")
    job = ended(jobs, job.number)
    assert (job.state, job.exit_code) == ("stopped", -signal.SIGKILL)


@pytest.mark.parametrize("lives_s", [0, 60])
def test_what_a_program_started_ends_with_it(jobs, tmp_path, lives_s):
    job = jobs.start(spec(PARENT.format(lives_s), tmp_path))
    said(jobs, job.number, "\n")
    child = int(jobs.get(job.number).output)
    jobs.stop(job.number)
    ended(jobs, job.number)
    wait_until(lambda: is_gone(child), what="the grandchild is gone")


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_server_leaves_nothing_behind(tmp_path):
    server = (
        "import sys, time; from pathlib import Path\n"
        "from exptrack_daemon.web.studio.jobs import Jobs, JobSpec\n"
        "jobs = Jobs(grace_s=0.3)\n"
        "job = jobs.start(JobSpec(title='t', run_id='r', cwd=Path('.'), command=[sys.executable, '-c',"
        ' "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]))\n'
        "while not jobs.get(job.number).output.strip(): time.sleep(0.02)\n"
        "print(jobs.get(job.number).output.strip(), flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE) as process:
        program = int(process.stdout.readline())
        assert psutil.pid_exists(program)
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(program), what="the program ended with the server")


def test_output_is_kept_to_its_end_only(jobs, tmp_path):
    job = jobs.start(spec("print('x' * 500_000); print('the end')", tmp_path))
    ended(jobs, job.number)
    said(jobs, job.number, "the end")
    assert len(jobs.get(job.number).output) <= 64 * 1024


def test_only_so_many_run_at_once_and_none_after_closing(jobs, tmp_path):
    for _ in range(MOST_RUNNING):
        jobs.start(spec(PATIENT, tmp_path))
    with pytest.raises(TooManyJobs, match="stop one first"):
        jobs.start(spec(PATIENT, tmp_path))
    jobs.close()
    assert {job.state for job in jobs.all()} == {"stopped"}
    with pytest.raises(ExptrackError, match="being stopped"):
        jobs.start(spec(PATIENT, tmp_path))


def test_a_folder_that_is_missing_is_named(jobs, tmp_path):
    with pytest.raises(ExptrackError, match="is no folder"):
        jobs.start(spec(PATIENT, tmp_path / "missing"))


def test_states_have_their_names():
    assert state_of(None, is_asked_to_stop=False) == "running"
    assert state_of(None, is_asked_to_stop=True) == "stopping"
    assert state_of(0, is_asked_to_stop=False) == "finished"
    assert state_of(-15, is_asked_to_stop=True) == "stopped"
    assert state_of(-11, is_asked_to_stop=False) == "failed"
