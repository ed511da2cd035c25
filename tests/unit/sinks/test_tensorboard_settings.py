"""Settings: unknown keys and relative directories stop the sink before it starts."""

from pathlib import Path

import pytest

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.tensorboard.settings import read_settings

HOME = Home(Path("/home/someone/.exptrack"))


def test_the_directory_is_the_homes_unless_set():
    assert read_settings({}, HOME).directory == HOME.tensorboard
    assert read_settings({"directory": "/data/tb"}, HOME).directory == Path("/data/tb")


def test_an_unknown_key_is_named():
    with pytest.raises(ConfigInvalid, match="no setting dir, zip; it has: directory"):
        read_settings({"zip": 1, "dir": "/x", "directory": "/y"}, HOME)


@pytest.mark.parametrize("value", ["tb", "", 7])
def test_a_directory_that_is_no_absolute_path_is_refused(value):
    with pytest.raises(ConfigInvalid, match="directory"):
        read_settings({"directory": value}, HOME)
