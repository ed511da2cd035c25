"""What is passed on to TensorBoard and back. That it works: tests/integration/test_web_tensorboard.py."""

from __future__ import annotations

import pytest

from exptrack_daemon.web.tensorboard_proxy import passed_back, passed_on, target


@pytest.mark.parametrize(
    ("raw", "query", "found"),
    [
        (b"/tensorboard/", b"", "/key/"),
        (b"/tensorboard/data/runs", b"a=1&b=%2F", "/key/data/runs?a=1&b=%2F"),
        (b"/tensorboard/a%20b%2Fc", b"", "/key/a%20b%2Fc"),
        (b"/tensorboard//evil.example/", b"", "/key/evil.example/"),
    ],
)
def test_the_path_below_is_passed_on_as_it_came(raw, query, found):
    scope = {"raw_path": raw, "path": "?", "root_path": "/tensorboard", "query_string": query}
    assert target("/key/", scope) == found


def test_what_belongs_to_the_studio_stays_there():
    headers = {"Cookie": "a", "Authorization": "b", "Origin": "c", "Host": "d", "Accept": "e"}
    assert passed_on(headers.items()) == {"Accept": "e"}


def test_tensorboards_own_path_and_cookies_do_not_come_back():
    headers = [("Location", "/key/x"), ("Set-Cookie", "a=b"), ("Content-Type", "text/html")]
    assert passed_back(headers, "/key", "/tensorboard") == [
        (b"location", b"/tensorboard/x"),
        (b"content-type", b"text/html"),
    ]
