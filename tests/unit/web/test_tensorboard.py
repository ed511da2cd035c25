"""TensorBoard's side of the studio, without starting it; tests/integration/test_web_tensorboard.py does."""

from __future__ import annotations

import pytest

from exptrack_daemon.home import Home
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.web import tensorboard
from exptrack_daemon.web.api.tensorboard import other_name
from exptrack_daemon.web.tensorboard import NotStarted, TensorBoardProcess, url_in
from exptrack_daemon.web.tensorboard_child import of_loopback_only


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (
            "TensorBoard 2.21.0 at http://127.0.0.1:4000/x/ (Press CTRL+C to quit)",
            "http://127.0.0.1:4000/x/",
        ),
        ("I1124 see http://example.org for help", None),
        ("TensorBoard is not installed", None),
        ("", None),
    ],
)
def test_the_address_is_read_from_the_line_that_holds_it(line, url):
    assert url_in(line) == url


def test_the_page_and_tensorboard_never_share_a_name():
    url = "http://127.0.0.1:4000/x/"
    assert other_name(url, "127.0.0.1:7000") == "http://localhost:4000/x/"
    assert other_name(url, "localhost:7000") == url
    assert other_name(url, "[::1]:7000") == "http://localhost:4000/x/"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:5", None, 200),
        ("localhost:5", "http://localhost:5", 200),
        ("localhost", None, 200),
        ("evil.example:5", None, 403),
        ("127.0.0.1.evil.example:5", None, 403),
        ("", None, 403),
        ("localhost:5", "null", 403),
        ("localhost:5", "http://evil.example", 403),
    ],
)
def test_the_child_answers_to_loopback_only(host, origin, status):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    said = []
    environ = {"HTTP_HOST": host} | ({"HTTP_ORIGIN": origin} if origin else {})
    of_loopback_only(app)(environ, lambda line, headers: said.append(line))
    assert said[0].startswith(str(status))


def test_one_that_does_not_come_up_says_why_and_leaves_nothing(home, monkeypatch):
    board = TensorBoardProcess(Home(home))
    (home / "tensorboard").mkdir()
    monkeypatch.setattr(tensorboard.sys, "executable", "/bin/false")
    with pytest.raises(NotStarted, match="no word"):
        board.start()
    assert board.url() is None
    board.stop()


def test_where_it_is_not_installed_that_is_said(home, monkeypatch):
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install"):
        TensorBoardProcess(Home(home)).start()
