"""The list of scripts that may be started: read strictly, filled in plainly."""

from __future__ import annotations

import pytest

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.web.studio import launchfile
from exptrack_daemon.web.studio.launchfile import launch_file, read_scripts, scripts_from

GOOD = '[[script]]\nname = "digits"\nargv = ["{python}", "train.py", "{config}"]\n'


def test_without_a_file_nothing_may_be_started(home):
    assert read_scripts(home) == {}


def test_the_example_of_the_page_is_read(home):
    launch_file(home).write_text(launchfile.__doc__.split("\n\n")[1])
    (script,) = read_scripts(home).values()
    assert (script.name, script.environ) == ("digits", {"OMP_NUM_THREADS": "1"})


def test_places_are_filled_into_arguments_and_other_braces_stay(home):
    launch_file(home).write_text('[[script]]\nname = "a"\nargv = ["x", "{config}:{run_id}", "{y}"]')
    script = read_scripts(home)["a"]
    filled = script.command({"config": "/c.json", "run_id": "r"})
    assert filled == ["x", "/c.json:r", "{y}"]
    assert script.cwd == home


def test_a_filled_in_value_is_one_argument_whatever_it_holds(home):
    (script,) = scripts_from({"script": [{"name": "a", "argv": ["x", "{config}"]}]}, home).values()
    assert script.command({"config": "/a b; rm -rf $HOME"}) == ["x", "/a b; rm -rf $HOME"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("script = 3", "table of its own"),
        ("[[script]]\nargv = ['a']", "no name"),
        ("[[script]]\nname = 'a'", "argv of script 'a'"),
        ("[[script]]\nname = 'a'\nargv = 'python train.py'", "argv of script 'a'"),
        ("[[script]]\nname = 'a'\nargv = []", "argv of script 'a'"),
        ("[[script]]\nname = 'a'\nargv = ['x', 3]", "argv of script 'a'"),
        ("[[script]]\nname = 'a'\nargv = ['x']\nshell = true", "no setting 'shell'"),
        ("[[script]]\nname = 'a'\nargv = ['x']\nenviron = {A = 1}", "environ of script 'a'"),
        ("[[script]]\nname = 'a'\nargv = ['x']\ncwd = 3", "about and cwd"),
        (GOOD + GOOD, "two scripts are called 'digits'"),
        ("[[scripts]]\nname = 'a'", "no setting 'scripts'"),
        ("name = ", "no TOML"),
    ],
)
def test_a_wrong_file_starts_nothing_and_says_where_it_is_wrong(home, text, words):
    launch_file(home).write_text(text)
    with pytest.raises(ConfigInvalid, match=words):
        read_scripts(home)


def test_a_file_that_others_may_write_is_not_used(home):
    launch_file(home).write_text(GOOD)
    launch_file(home).chmod(0o666)
    with pytest.raises(ConfigInvalid, match="chmod go-w"):
        read_scripts(home)
