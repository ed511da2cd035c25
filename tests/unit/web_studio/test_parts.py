"""Starting the simulation and scripts: real processes, each with a configuration that was kept."""

from __future__ import annotations

import json

import pytest

from exptrack_daemon import supervisor
from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.store.reader import open_home
from exptrack_daemon.web.studio.experiments import presets
from exptrack_daemon.web.studio.jobs import Jobs
from exptrack_daemon.web.studio.parts import Parts, SimulationChoice
from exptrack_daemon.web.studio.watching import progress_of
from tests.support.processes import wait_until

GOOD = {
    "steps": 10,
    "learning_rate": 0.1,
    "batch_size": 8,
    "max_gradient_norm": 1,
    "pause_ms": 0,
}


@pytest.fixture
def parts(home):
    jobs = Jobs()
    yield Parts(home, jobs)
    jobs.close()
    supervisor.stop(home)


def settings(**changes):
    return presets()["Basic Tracking"] | {"log_interval": 1, "record_source": False} | changes


def ended(parts, job):
    return wait_until(
        lambda: not parts.jobs.get(job.number).is_running and parts.jobs.get(job.number), 100
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "steps is a whole number from 1 to 1,000,000, not 0"),
        ("steps", 1.5, "steps is a whole number"),
        ("steps", None, "not nothing"),
        ("batch_size", 1e9, "batch size is a whole number"),
        ("learning_rate", 0, "learning rate is a number above 0"),
        ("learning_rate", float("nan"), "learning rate is a number above 0"),
        ("max_gradient_norm", -1, "maximal gradient norm is a number above 0"),
        ("pause_ms", -1, "pause is a number from 0"),
        ("pause_ms", "1", "pause is a number from 0"),
    ],
)
def test_a_wrong_choice_is_said_and_nothing_is_started(parts, name, value, words):
    choice = SimulationChoice(**GOOD | {name: value})
    assert words in choice.problems()[name]
    with pytest.raises(ConfigInvalid):
        parts.simulate(settings(), choice)
    assert parts.jobs.all() == []


@pytest.mark.timeout(120)
def test_the_simulation_is_a_run_of_its_own_tracked_as_the_configuration_says(parts, home):
    job = parts.simulate(settings(tags=["sim"]), SimulationChoice(**GOOD))
    job = ended(parts, job)
    assert job.state == "finished", job.output
    view = open_home(home).view(job.spec.run_id)
    assert list(view.facts.run.tags) == ["sim"]
    assert (view.status.name, view.facts.last_step) == ("finished", 9)
    assert view.facts.run.config["batch_size"] == 8
    assert progress_of(open_home(home), job.spec.run_id).done == 10
    (version,) = parts.experiments.versions("basic_experiment")
    assert version.run_id == job.spec.run_id


def test_a_script_gets_its_configuration_by_file_and_environment(parts, home):
    code = (
        "import json, os, sys; config = json.load(open(sys.argv[1]))['config'];"
        " print(json.dumps([config['notes'], os.environ['EXPTRACK_RUN_ID'], sys.argv[2],"
        " os.environ['EXPTRACK_HOME'], os.environ['EXPTRACK_CONFIG'] == sys.argv[1]]))"
    )
    argv = json.dumps(["{python}", "-c", code, "{config}", "{run_id}"])
    (home / "launch.toml").write_text(f'[[script]]\nname = "a"\nargv = {argv}\n')
    notes = "$(rm -rf /) ; {config}"
    job = ended(parts, parts.launch("a", settings(notes=notes)))
    wait_until(lambda: parts.jobs.get(job.number).output)
    said = json.loads(parts.jobs.get(job.number).output)
    assert said == [notes, job.spec.run_id, job.spec.run_id, str(home), True]


def test_only_what_the_file_allows_now_is_started(parts, home):
    with pytest.raises(ConfigInvalid, match="allows no script 'a'"):
        parts.launch("a", settings())
    (home / "launch.toml").write_text('[[script]]\nname = "a"\nargv = "rm -rf /"\n')
    with pytest.raises(ConfigInvalid, match="argv of script 'a'"):
        parts.launch("a", settings())
    assert parts.jobs.all() == []
