"""show tells where a run's things stand."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.places import places_of
from exptrack_daemon.files import OsFiles
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.store import open_home
from tests.support.homes import HomeBuilder

URL = "https://wandb.example/ada/mnist/runs/r"


def test_folders_that_exist_and_the_address_that_wandb_gave(tmp_path):
    builder = HomeBuilder(tmp_path)
    builder.finished_run("r")
    reader = open_home(tmp_path)
    facts = reader.view("r").facts
    assert list(places_of(reader, facts)) == ["journal"]
    (tmp_path / "runs/r/wandb").mkdir()
    cursor = builder.home.cursor("r", "wandb")
    for state, expected in (({"url": f"{URL}\x1b[31m"}, True), ({"url": 7}, False), (None, False)):
        save_cursor(OsFiles(), cursor, Cursor(state=state))
        places = places_of(reader, facts)
        assert list(places)[:2] == ["journal", "wandb"]
        assert ("wandb_url" in places) is expected
    save_cursor(OsFiles(), cursor, Cursor(state={"url": f"{URL}\x1b[31m"}))
    shown = CliRunner().invoke(app, ["show", "r", "--home", str(tmp_path)]).stdout
    assert URL in shown
    assert "\x1b" not in shown
    told = json.loads(
        CliRunner().invoke(app, ["show", "r", "--json", "--home", str(tmp_path)]).stdout
    )
    assert URL in json.dumps(told)
